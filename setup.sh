#!/bin/sh
# lipstream in containers: build the image, run it, or both.
#
#   ./setup.sh build|run|all [cpu|gpu|varnish]
#
# Takes the first that is there of `docker compose` (v2), `docker-compose` (v1) and plain `docker`.
# PUBLISH=0.0.0.0:8000 ./setup.sh run makes the port reachable for others.
set -eu
cd "$(dirname "$0")"

say() { printf 'setup: %s\n' "$*"; }

fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 2
}

usage() { fail "usage: ./setup.sh build|run|all [cpu|gpu|varnish]"; }

# Prints compose2, compose1 or docker.
find_engine() {
  if docker compose version >/dev/null 2>&1; then
    echo compose2
  elif docker-compose version >/dev/null 2>&1; then
    echo compose1
  elif docker version >/dev/null 2>&1; then
    echo docker
  else
    return 1
  fi
}

compose() {
  case "$engine" in
    compose2) docker compose --profile "$profile" "$@" ;;
    compose1) docker-compose --profile "$profile" "$@" ;;
  esac
}

# Folders that the container writes to belong to whom it runs as.
make_folders() {
  mkdir -p data/recordings data/films data/models
  RUN_UID=$(id -u)
  RUN_GID=$(id -g)
  if [ "$RUN_UID" = 0 ]; then  # nothing in the container runs as root
    RUN_UID=10001 RUN_GID=10001
    chown "$RUN_UID:$RUN_GID" data/recordings data/models
  fi
  export RUN_UID RUN_GID
  say "recordings, films and models are in $(pwd)/data, as user $RUN_UID"
}

make_secrets() {
  if [ -e .env ]; then
    say "the token of the control API is in .env, from before"
    return
  fi
  token=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
  # The user too: whoever calls Compose without this script gets the same one.
  (umask 077 && printf '%s\n' "LIPSTREAM_API_TOKEN=$token" "RUN_UID=$RUN_UID" "RUN_GID=$RUN_GID" >.env)
  say "made a token for the control API: it is in .env, which only you can read"
}

build() {
  say "building the $profile image with $engine"
  case "$engine" in
    docker)
      docker build --build-arg "VARIANT=$variant" --tag "$image" .
      ;;
    # Compose wants the token of compose.yaml for every command. No image has it, and make_secrets is still to come.
    *) (export LIPSTREAM_API_TOKEN="${LIPSTREAM_API_TOKEN:-not in any image}" && compose build) ;;
  esac
}

run() {
  make_folders
  make_secrets
  say "starting $profile with $engine"
  case "$engine" in
    docker) run_plain ;;
    *) compose up --detach ;;
  esac
  say "open http://$(printf %s "$publish" | sed 's/^0\.0\.0\.0:/127.0.0.1:/')/ in a moment"
  case "$engine" in
    compose2) say "stop it with: docker compose --profile $profile down" ;;
    compose1) say "stop it with: docker-compose --profile $profile down" ;;
    docker) say "stop it with: docker rm --force lipstream" ;;
  esac
}

# What compose.yaml says, word for word as far as plain docker can.
run_plain() {
  set -- --detach --name lipstream --restart unless-stopped --init
  set -- "$@" --user "$RUN_UID:$RUN_GID" --env-file .env
  set -- "$@" --env LIPSTREAM_MEDIA_ROOT=/media/live --tmpfs /media:size=512m,mode=1777
  set -- "$@" --env LIPSTREAM_RECORD_FOLDER=/data/recordings --env LIPSTREAM_FILM_FOLDER=/data/films
  set -- "$@" --env LIPSTREAM_LOG_FORMAT=json
  set -- "$@" --volume "$(pwd)/data/recordings:/data/recordings"
  set -- "$@" --volume "$(pwd)/data/films:/data/films:ro"
  set -- "$@" --volume "$(pwd)/data/models:/data/models"
  set -- "$@" --ulimit nofile=65536 --cap-drop ALL --security-opt no-new-privileges:true
  [ "$profile" = cpu ] || set -- "$@" --gpus all
  docker rm --force lipstream >/dev/null 2>&1 || true  # the one before; its data stay
  docker run "$@" --stop-timeout 10 --publish "$publish:8000" "$image"
}

[ $# -ge 1 ] && [ $# -le 2 ] || usage
what=$1
profile=${2:-cpu}
publish=${PUBLISH:-127.0.0.1:8000}
case "$profile" in
  cpu | varnish) variant=cpu image=lipstream ;;
  gpu) variant=cuda image=lipstream:cuda ;;
  *) usage ;;
esac
case "$what" in build | run | all) ;; *) usage ;; esac

engine=$(find_engine) || fail "found neither docker compose, docker-compose nor docker (or its daemon does not run): install Docker Engine, or run it without: make run"
[ "$engine $profile" != "docker varnish" ] || fail "the profile varnish is two containers: it needs Docker Compose"

case "$what" in
  build) build ;;
  run) run ;;
  all)
    build
    run
    ;;
esac
