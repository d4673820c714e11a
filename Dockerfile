# lipstream in a container. ./setup.sh builds and runs it; by hand:
#
#   docker build -t lipstream .                                  # CPU
#   docker build -t lipstream:cuda --build-arg VARIANT=cuda .    # NVIDIA GPU
#   docker run --rm -p 127.0.0.1:8000:8000 --shm-size 512m -e LIPSTREAM_API_TOKEN="$(openssl rand -hex 32)" lipstream
#
# tools/image_in_chroot.py runs every step of the CPU image in a fresh Debian, without an engine.
ARG VARIANT=cpu
ARG CUDA_IMAGE=nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04

FROM debian:trixie-slim AS base-cpu
ENV EXTRAS=""

# The driver comes from the host, through NVIDIA's container toolkit; `video` is NVENC.
FROM ${CUDA_IMAGE} AS base-cuda
ENV EXTRAS="[gpu]" \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video

# hadolint ignore=DL3006
FROM base-${VARIANT} AS python
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3 ca-certificates \
  && rm -rf /var/lib/apt/lists/*

FROM python AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/lipstream \
  && /opt/lipstream/bin/pip install --no-cache-dir ".${EXTRAS}"

FROM python
COPY --from=build /opt/lipstream /opt/lipstream
RUN useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin lipstream
# A user of another number has no home; what trials of encoders gave is kept here then.
ENV PATH=/opt/lipstream/bin:$PATH \
    XDG_CACHE_HOME=/tmp
WORKDIR /home/lipstream
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD \
  ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz')"]
# Exec form: lipstream is process 1 and hears `docker stop`.
ENTRYPOINT ["lipstream"]
CMD ["serve", "--host", "0.0.0.0"]
