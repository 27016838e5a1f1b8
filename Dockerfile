# The service in a container: the base set alone, no compiler, no root, nothing written to its file system.
#   docker build -t fracture .
#   docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --memory 2g \
#       --pids-limit 512 -e FRACTURE_API_KEYS=viewer:at-least-16-characters -p 8000:8000 fracture
#   podman build --format docker ...: its own format has no health check
# deploy/compose.yaml says the same, with the keys in a secret and corrections in a volume.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ATTRIBUTION.md ./
COPY fracture fracture
# Nothing that installs is shipped, nor the tests that packages bring along: 80 MB that no request reaches.
RUN python -m venv --without-pip /opt/fracture \
    && python -m pip --python /opt/fracture/bin/python install --no-cache-dir --disable-pip-version-check \
        -c constraints.txt . \
    && find /opt/fracture -type d -name tests -prune -exec rm -r {} +
# What is inside, for scanners: as `make sbom`.
# hadolint ignore=DL3013
RUN python -m venv /opt/sbom \
    && /opt/sbom/bin/python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt cyclonedx-bom \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
        --output-file /opt/fracture/sbom.json /opt/fracture/bin/python

FROM python:3.11-slim-bookworm
COPY --from=build /opt/fracture /opt/fracture
# Python's image leaves its own modules uncompiled, and nothing can be written later: every start, decoder and health
# check would compile them anew. The folder is where a volume for corrections goes: a named one takes over its owner.
RUN python -m compileall -q -x site-packages "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/fracture
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
