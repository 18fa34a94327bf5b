# pgvigil in a container: built with Rust's own image, run on one that holds a C library and nothing else.
#
#   docker build -t pgvigil .
#   docker run -v ./pgvigil.yml:/etc/pgvigil/pgvigil.yml:ro -v pgvigil:/var/lib/pgvigil -p 127.0.0.1:10187:10187 pgvigil
ARG BUILD_IMAGE=rust:1.95-slim-bookworm
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
# For --version, as the image has no git: --build-arg BUILD_COMMIT=$(git rev-parse --short=12 HEAD)
ARG BUILD_COMMIT=
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin pgvigil \
    && cp target/release/pgvigil /pgvigil \
    && mkdir /state

FROM ${RUN_IMAGE}
COPY --from=build /pgvigil /usr/local/bin/pgvigil
# The journal and the lag history; a volume mounted here starts with this owner.
COPY --from=build --chown=65532:65532 /state /var/lib/pgvigil
USER 65532:65532
# Inside the container's own network: what is reachable is decided by -p.
ENV PGVIGIL_LISTEN=0.0.0.0:10187
EXPOSE 10187
VOLUME /var/lib/pgvigil
ENTRYPOINT ["/usr/local/bin/pgvigil"]
CMD ["serve"]
