# pgvigil in a container: one static program and the certificates of public authorities, nothing else.
#
#   docker build -t pgvigil .
#   docker run --read-only -v ./pgvigil.yml:/etc/pgvigil/pgvigil.yml:ro -v pgvigil:/var/lib/pgvigil -p 127.0.0.1:10187:10187 pgvigil
#
# Hooks need a shell and what they call: build with RUN_IMAGE of a system that has them, such as debian:bookworm-slim.
# A BUILD_IMAGE whose Rust makes programs for glibc needs a RUN_IMAGE with a glibc as new.
ARG BUILD_IMAGE=docker.io/library/rust:1.95-alpine3.22
ARG RUN_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
# For --version, as the image has no git: --build-arg BUILD_COMMIT=$(git rev-parse --short=12 HEAD)
ARG BUILD_COMMIT=
WORKDIR /src
COPY . .
# Into one place, whatever the target is called.
RUN cargo install --locked --path . --bin pgvigil --root /out --no-track \
    && mkdir -p /state /out/certs \
    && cp /etc/ssl/certs/ca-certificates.crt /out/certs/

FROM ${RUN_IMAGE}
COPY --from=build /out/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bin/pgvigil /usr/local/bin/pgvigil
# The journal and the lag history; a volume mounted here starts with this owner. Nothing else is written.
COPY --from=build --chown=65532:65532 /state /var/lib/pgvigil
USER 65532:65532
# Inside the container's own network: what is reachable is decided by -p.
ENV PGVIGIL_LISTEN=0.0.0.0:10187 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 10187
VOLUME /var/lib/pgvigil
# Where the page has a certificate, its name is not 127.0.0.1: run with --health-cmd "pgvigil healthcheck --server https://NAME:10187".
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/pgvigil", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/pgvigil"]
CMD ["serve"]
