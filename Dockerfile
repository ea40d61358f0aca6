# The interpreter, and what pip installs of this project: the locked dependencies, by their hashes, and the wheel.
#
#     docker build --tag vmem-exporter .
#
# How to run it, and what the flags are for: docs/INSTALL.md.

ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
# setcap is needed to build the image and is no part of it: its version doesn't matter.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libcap2-bin \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# The dependencies change less often than the exporter: they are a layer of their own.
COPY requirements.lock ./
RUN python3 -m venv --without-pip /opt/vmem-exporter \
    && pip --python /opt/vmem-exporter/bin/python install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
COPY packaging/share packaging/share
RUN pip --python /opt/vmem-exporter/bin/python install --no-cache-dir --no-deps .
# A container's added capability doesn't reach a user that isn't root unless the program's file asks for it, and a
# program that asks doesn't start where the container lacks it. So there are two: this one is for `smaps` and `exe`.
RUN cp --dereference /opt/vmem-exporter/bin/python /opt/vmem-exporter/bin/python-ptrace \
    && setcap cap_sys_ptrace=ep /opt/vmem-exporter/bin/python-ptrace

FROM ${BASE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="vmem-exporter" \
      org.opencontainers.image.description="Memory of processes, cgroups and the host, for Prometheus" \
      org.opencontainers.image.source="https://github.com/vmem-exporter/vmem-exporter" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /opt/vmem-exporter /opt/vmem-exporter
ENV PATH=/opt/vmem-exporter/bin:$PATH
USER 65532:65532
EXPOSE 10987
# For the default address without TLS; where it is another, say so at `docker run --health-cmd`.
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:10987/-/healthy', timeout=2)"]
ENTRYPOINT ["vmem-exporter"]
