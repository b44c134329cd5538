# One image for CPU and CUDA, of the locks and nothing else:
#   docker build -t seedbed .                                       CPU
#   docker build -t seedbed:cuda --build-arg VARIANT=cuda .         CUDA: the wheels bring it, the host brings the driver
# docs/container.md has the rest: mirrors, the same image twice, Podman, Apptainer.

# Another registry's copy: give BASE alone. Another image: give both; an empty digest trusts the tag.
ARG BASE=docker.io/library/python:3.11.7-slim-bookworm
ARG BASE_DIGEST=sha256:53d6284a40eae6b625f22870f5faba6c54f2a28db9027408f4dee111f1e885a2
FROM ${BASE}${BASE_DIGEST:+@${BASE_DIGEST}} AS base


# What the lock of the variant says, in /opt/seedbed
FROM base AS dependencies
ARG VARIANT=cpu
WORKDIR /opt/seedbed
COPY .python-version requirements.lock requirements-cuda.lock ./
RUN case "$VARIANT" in \
      cpu) rm requirements-cuda.lock ;; \
      cuda) rm requirements.lock ;; \
      *) echo "seedbed: VARIANT is cpu or cuda, not '$VARIANT': --build-arg VARIANT=cpu" >&2; exit 1 ;; \
    esac; \
    found=$(python3 -c 'import platform; print(platform.python_version())'); wanted=$(cat .python-version); \
    if [ "$found" != "$wanted" ]; then \
      echo "seedbed: the base has Python $found, but .python-version asks for $wanted: give a BASE that has it" >&2; exit 1; \
    fi

# Where torch's CPU wheel is; PyPI has none. Certificates and pip's settings (an index, a password) come as secrets, proxies
# as Docker's own build arguments: nothing of them stays.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=secret,id=ca,target=/run/secrets/ca.crt \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    export PIP_CACHE_DIR=/var/cache/pip; \
    if [ -e /run/secrets/ca.crt ]; then export PIP_CERT=/run/secrets/ca.crt; fi; \
    if [ "$VARIANT" = cpu ]; then set -- --extra-index-url "$TORCH_INDEX"; fi; \
    python3 -m venv --without-pip venv; \
    if ! python3 -m pip --python venv/bin/python install --disable-pip-version-check --root-user-action=ignore --no-compile \
      --require-hashes --no-deps --only-binary=:all: "$@" --requirement requirements*.lock; then \
      echo "seedbed: $(ls requirements*.lock) could not be installed exactly as it says: pip's reason is above" >&2; exit 1; \
    fi

# Out goes what no run needs: tests (numpy.testing imports one file of its own), sources for compilers and type checkers,
# which are not here, and what asks the questions of `seedbed new`, which is for outside. Bytecode is kept, of what a run imports, as imports take twice as long without; it bears no dates. Every
# file is of 1980, the first year that zip knows. /tree has it all once more, as links: a copy of /tree to / keeps the dates
# of folders, which a copy of /opt/seedbed to its place makes anew.
ENV PYTHONPYCACHEPREFIX=/opt/seedbed/bytecode PYTHONHASHSEED=0
RUN site=$(echo "$PWD"/venv/lib/python3.*/site-packages) && \
    rm -rf "$site"/torch/include "$site"/torch/share "$site"/torch/test "$site"/*.dist-info/sboms "$site"/virtualenv/seed/wheels/embed/*.whl && \
    for name in copier plumbum prompt_toolkit questionary wcwidth yaml _yaml joblib/test torch/utils/hipify torch/utils/model_dump sympy/polys/benchmarks jsonschema/benchmarks; do rm -rf "${site:?}/$name"; done && \
    rm -f "$site"/torch/lib/*_test.so "$site"/numpy/_core/_simd.*.so "$site"/distlib/*.exe && \
    find "$site"/torch/bin -type f ! -name torch_shm_manager -delete && \
    find "$site"/jsonschema "$site"/mpmath "$site"/networkx "$site"/numpy "$site"/scipy "$site"/sklearn "$site"/sympy -type f -path '*/tests/*' \
      ! -name _natype.py -delete && \
    find "$site" -type f \( -name '*.h' -o -name '*.a' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.pyi' \) -delete && \
    venv/bin/python -B -c 'import sys, torch._dynamo, torch.distributed, torch.utils.data, scipy.stats, joblib, msgspec, psutil; \
      import pynvml, rich.table, safetensors.torch, typer, sklearn.datasets, sklearn.ensemble, sklearn.manifold, sklearn.mixture; \
      import sklearn.model_selection, sklearn.neural_network, sklearn.pipeline, sklearn.preprocessing, sklearn.svm; \
      files = {str(getattr(module, "__file__", None)) for module in list(sys.modules.values())}; \
      print(*sorted(file for file in files if file.endswith(".py")), sep="\n")' > /tmp/imported && \
    python3 -m compileall -q -i /tmp/imported --invalidation-mode unchecked-hash && \
    mkdir -p /tree/opt && find /opt/seedbed /tree -exec touch -h -d @315532800 {} + && \
    cp -al /opt/seedbed /tree/opt && touch -d @315532800 /tree/opt


# Seedbed itself, in /project: a change of source comes no further up than here
FROM dependencies AS project
COPY pyproject.toml README.md LICENSE /build/
COPY src /build/src
COPY copier.yml /build/
COPY templates /build/templates
COPY ["{{cookiecutter.project_slug}}", "/build/{{cookiecutter.project_slug}}"]
ARG SOURCE_DATE_EPOCH=315532800
RUN python3 -m pip --python venv/bin/python install --disable-pip-version-check --root-user-action=ignore --no-compile \
      --no-index --no-deps --no-build-isolation --prefix=/project/opt/seedbed/venv /build && \
    mkdir -p /project/records /project/study /project/etc && \
    chmod 1777 /project/records && \
    cp .python-version requirements*.lock /build/pyproject.toml /project/study && \
    ln -s /records /project/study/records && \
    cp /etc/passwd /etc/group /project/etc && \
    echo 'seedbed:x:1000:1000:Seedbed:/tmp:/bin/bash' >> /project/etc/passwd && \
    echo 'seedbed:x:1000:' >> /project/etc/group && \
    cp -a /project/. / && \
    PYTHONPYCACHEPREFIX=/project/opt/seedbed/bytecode python3 -m compileall -q -x scaffold/template --invalidation-mode \
      unchecked-hash "$(echo "$PWD"/venv/lib/python3.*/site-packages/seedbed)"
ARG BASE
ARG BASE_DIGEST
ARG REVISION=
ARG VERSION=0.1.0
ARG LOCK_SHA256=
RUN cp -a /project/. / && \
    venv/bin/python -m seedbed.image describe --variant "$VARIANT" --base "$BASE" --base-digest "$BASE_DIGEST" \
      --revision "$REVISION" --version "$VERSION" --lock requirements*.lock --lock-sha256 "$LOCK_SHA256" \
      --folder /opt/seedbed --out /project/opt/seedbed/image.json && \
    find /project -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +


FROM base AS image
COPY --from=dependencies /tree /
COPY --from=project /project /

# In force before the first instruction runs, as a program is too late for some of them. One thread: the only number that
# every machine has (docs/container.md#threads).
ENV PATH=/opt/seedbed/venv/bin:$PATH \
    PYTHONPYCACHEPREFIX=/opt/seedbed/bytecode \
    PYTHONHASHSEED=1337 \
    OMP_NUM_THREADS=1 \
    CUBLAS_WORKSPACE_CONFIG=:4096:8 \
    TORCHINDUCTOR_DETERMINISTIC=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HOME=/tmp \
    USER=seedbed

ARG BASE
ARG BASE_DIGEST
ARG VARIANT=cpu
ARG REVISION=
ARG VERSION=0.1.0
ARG LOCK_SHA256=
ARG SOURCE=
LABEL org.opencontainers.image.title="seedbed" \
      org.opencontainers.image.description="Reproducible research with NumPy, scikit-learn and PyTorch" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.base.name="$BASE" \
      org.opencontainers.image.base.digest="$BASE_DIGEST" \
      seedbed.variant="$VARIANT" \
      seedbed.lock.sha256="$LOCK_SHA256"

# Whoever runs it: these ids, --user "$(id -u):$(id -g)", or root without root's rights.
USER 1000:1000
WORKDIR /study
ENTRYPOINT ["dumb-init", "--", "/opt/seedbed/venv/bin/python", "-P", "-m", "seedbed.entrypoint"]
CMD ["repro"]
