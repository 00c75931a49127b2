# The service, and digit-producer beside it: `make image`, or docker build --tag digitstream .
#
# packages   the dependencies, as pinned, in a virtual environment without pip and without their own tests (32 MB)
# wheel      our own code, built once
# compiled   the engine's loops as machine code, which takes half a minute of a core
# (last)     packages, then what REQUIREMENTS names, then the other two: an update of our code is a layer of 8 MB
#
# Together 509 MB on top of the base, which docs/operations.md accounts for. The build argument REQUIREMENTS has names of
# files in requirements/, separated by spaces: with `web` the image can serve HTTP (digit-producer serve), with `otel` it
# can trace (DIGITS_TRACING__…), with `sentry` it can report errors (DIGITS_SENTRY_…), with `msk-iam` sign in to Amazon MSK,
# with `stores` take its model from a bucket (DIGITS_MODEL=s3://…), with `onnx` read with models in ONNX.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS packages
RUN python -m venv --without-pip /opt/digitstream
RUN --mount=type=bind,source=requirements/run.txt,target=/run.txt \
    pip --python /opt/digitstream/bin/python install --quiet --no-cache-dir --only-binary :all: --require-hashes \
      -r /run.txt \
 && find /opt/digitstream -name tests -type d -prune -exec rm -r {} +

FROM ${PYTHON_IMAGE} AS wheel
RUN --mount=type=bind,source=requirements/build.txt,target=/build.txt \
    pip install --quiet --no-cache-dir --root-user-action ignore --require-hashes -r /build.txt
COPY . /source
RUN pip wheel --quiet --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels /source

# This stage has only what is compiled and needs, so that a change elsewhere does not compile it again. Their path is that of
# the last stage: numba finds compiled code by path and content of the source, and by the type of processor.
FROM packages AS compiled
COPY engine /source/engine
COPY models /source/models
COPY release /source/release
COPY consumer/__init__.py /source/consumer/
COPY consumer/workers/__init__.py /source/consumer/workers/
COPY consumer/workers/batches /source/consumer/workers/batches
COPY transport/__init__.py /source/transport/
COPY transport/batches/__init__.py transport/batches/layout.py /source/transport/batches/
RUN ln -s /source/* "$(/opt/digitstream/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
RUN NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/compiled /opt/digitstream/bin/python -c "\
from engine.model.classifier import Classifier; from engine.limits import Limits; from engine.reader import Reader; \
from models import default_model; from consumer.workers.batches import scanning; \
Reader(Classifier.load(default_model()), Limits()).warm_up(); scanning.warm_up()"

FROM packages
# These files have the versions of run.txt, so only what is missing is installed: images with and without them share the rest.
ARG REQUIREMENTS=
RUN --mount=type=bind,source=requirements,target=/requirements \
    for name in ${REQUIREMENTS}; do set -- "$@" -r "/requirements/$name.txt"; done \
 && if [ "$#" -gt 0 ]; then \
      pip --python /opt/digitstream/bin/python install --quiet --no-cache-dir --only-binary :all: --require-hashes "$@" \
   && find /opt/digitstream -name tests -type d -prune -exec rm -r {} + ; \
    fi
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip --python /opt/digitstream/bin/python install --quiet --no-cache-dir --no-index --no-deps /wheels/*.whl
COPY --from=compiled /compiled /opt/digitstream/compiled
COPY deploy/image/start /opt/digitstream/start
# For a volume: a new one that is mounted here gets this owner. DIGITS_MODEL_CACHE=/var/cache/digits keeps models in it.
RUN install -d -o 10001 -g 10001 /var/cache/digits

# This is code for the oldest processor of the architecture, so it runs on every machine. It is a tenth slower with
# pictures of 28 px, and equally fast with large ones (docs/operations.md has the command that measures it). With another
# NUMBA_CPU_NAME, each worker compiles at its start.
ENV PATH=/opt/digitstream/bin:$PATH \
    HOME=/tmp \
    NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/tmp/compiled \
    DIGITS_HEALTH__HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
# Ready, not merely alive: `docker compose up --wait` then returns when images are answered.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-P", "-m", "consumer.observe.healthcheck"]
ENTRYPOINT ["/opt/digitstream/start"]
CMD ["digit-consumer", "run"]

# This is last, so that another revision shares all layers that have not changed.
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=
ENV DIGITSTREAM_REVISION=${REVISION}
LABEL org.opencontainers.image.title="Digitstream" \
      org.opencontainers.image.description="Reads images of handwritten digits from Kafka, publishes calibrated predictions exactly once." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
