# CPU image. The control API needs a token beyond loopback:
#   docker build -t lipstream .
#   docker run --rm -p 8000:8000 --shm-size 256m -e LIPSTREAM_API_TOKEN=choose-one lipstream
# With a cache and TLS in front: deploy/compose.yaml.
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/lipstream && /opt/lipstream/bin/pip install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /opt/lipstream /opt/lipstream
RUN useradd --system --create-home lipstream
USER lipstream
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD \
  ["/opt/lipstream/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz')"]
# Exec form: lipstream is process 1 and hears `docker stop`.
ENTRYPOINT ["/opt/lipstream/bin/lipstream"]
CMD ["serve", "--host", "0.0.0.0"]
