# The service in a container: the base set alone, no compiler, no root, nothing written to its file system.
#   docker build -t fracture .
#   docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --memory 2g \
#       -e FRACTURE_API_KEYS=viewer:at-least-16-characters -p 8000:8000 fracture
# deploy/compose.yaml says the same, with the keys in a secret.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ATTRIBUTION.md ./
COPY fracture fracture
RUN python -m venv /opt/fracture \
    && /opt/fracture/bin/python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/fracture /opt/fracture
# 0.0.0.0 is what a container has to listen at; everybody who calls from outside of it is asked for a key.
ENV FRACTURE_HOST=0.0.0.0 \
    FRACTURE_PORT=8000 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
EXPOSE 8000
USER 10001:10001
WORKDIR /
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/opt/fracture/bin/python", "-m", "fracture", "serve", "--ready"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/fracture/bin/python", "-m", "fracture", "serve"]
