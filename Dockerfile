# The one image of Gossamer: the sidecar, the rules of its init container (iptables), the control plane and the injector.
# Versions and hashes are those of requirements/*.txt. What changes least comes first, so that little is built anew.

# The digest is that of the index of all architectures. Where another has to do: --build-arg BASE=NAME.
ARG BASE=python:3.11.16-slim-bookworm@sha256:2e32f7d302adc1c37428355c1e646897c0c53f4fd60b6a551245fb90ee129f91
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# libc6-dev must be that of the libc6 in place, which security updates replace; nothing of this stage's Debian is shipped.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc=4:12.2.0-3 libc6-dev \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
WORKDIR /src
COPY requirements/build.txt requirements/image.txt requirements/
# The environment that is shipped has no pip: that of the build stage installs into it.
RUN python3 -m venv /build \
 && /build/bin/pip install --quiet --require-hashes --requirement requirements/build.txt \
 && python3 -m venv --without-pip /opt/gossamer \
 && /build/bin/pip --python /opt/gossamer/bin/python3 install --quiet --require-hashes --requirement requirements/image.txt
# The hot path, which takes longest: compiled anew only when it changed.
COPY setup.py ./
COPY proxy proxy
RUN GOSSAMER_TRACEBACK=1 /build/bin/python setup.py -q build_ext --parallel "$(nproc)" \
 && find build -name '*.so' | grep -q .
COPY pyproject.toml README.md LICENSE ./
COPY dashboards dashboards
COPY mesh mesh
COPY controlplane controlplane
COPY injector injector
RUN /build/bin/pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir /wheel . \
 && /build/bin/pip --python /opt/gossamer/bin/python3 install --quiet --no-deps --no-index /wheel/*.whl

FROM ${BASE}
ARG BASE
# Nobody becomes another user in it, and nothing is installed into it: no setuid bits, no pip.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends iptables=1.8.9-2 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/bin/pip* /usr/lib/python3*/ensurepip \
           /usr/local/lib/python3.*/ensurepip /usr/share/python-wheels \
 && find / -xdev -type f -perm /6000 -exec chmod a-s '{}' + \
 && useradd --uid 2102 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gossamer
COPY --from=build /opt/gossamer /opt/gossamer
ENV PATH=/opt/gossamer/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Files are root's: the process may read and not change them. A number, so that runAsNonRoot can be checked.
USER 2102:2102
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Gossamer" \
      org.opencontainers.image.description="A service mesh in Python: sidecar, control plane and injector" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENTRYPOINT ["mesh"]
CMD ["--help"]
