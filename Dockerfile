# lipstream in a container. ./setup.sh builds and runs it; by hand:
#
#   docker build -t lipstream .                                  # CPU
#   docker build -t lipstream:cuda --build-arg VARIANT=cuda .    # NVIDIA GPU
#   docker run --rm -p 127.0.0.1:8000:8000 --shm-size 512m -e LIPSTREAM_API_TOKEN="$(openssl rand -hex 32)" lipstream
#
# tools/image_in_chroot.py runs every step of the CPU image in a fresh Debian, without an engine.
ARG VARIANT=cpu
# TensorRT's wheels are for CUDA 13.
ARG CUDA=13.0.1

# --- what runs, and what builds -----------------------------------------------------------------
FROM debian:trixie-slim AS base-cpu

# The driver comes from the host, through NVIDIA's container toolkit; `video` is NVENC.
FROM nvidia/cuda:${CUDA}-cudnn-runtime-ubuntu24.04 AS base-cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video

FROM base-cpu AS tools-cpu
ENV EXTRAS=""

# PyCUDA is compiled, against the whole toolkit.
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS tools-cuda
ENV EXTRAS="[gpu]"
RUN apt-get update \
  && apt-get install -y --no-install-recommends g++ python3-dev \
  && rm -rf /var/lib/apt/lists/*

# --- build --------------------------------------------------------------------------------------
# hadolint ignore=DL3006
FROM tools-${VARIANT} AS build
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3-venv ca-certificates \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/lipstream \
  && /opt/lipstream/bin/pip install --no-cache-dir ".${EXTRAS}"

# --- run ----------------------------------------------------------------------------------------
# hadolint ignore=DL3006
FROM base-${VARIANT}
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3 ca-certificates \
  && rm -rf /var/lib/apt/lists/*
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
