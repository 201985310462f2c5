# aft with all of its stores. See docs/containers.md.
FROM rust:1.95-bookworm AS build
WORKDIR /aft
COPY Cargo.toml Cargo.lock ./
COPY src src
# The manifest names them.
COPY benches benches
RUN cargo build --locked --release --features all-stores --bin aft
# The directory of an embedded store, for the last stage, which can't make one.
RUN mkdir /data

# No shell, no package manager, and a user that is not root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /aft/target/release/aft /usr/local/bin/aft
COPY --from=build --chown=nonroot:nonroot /data /data
ENV AFT_LISTEN=0.0.0.0:6379
ENV AFT_STORE=embedded:/data
VOLUME /data
EXPOSE 6379
# Whether it answers, and not whether its store does: no restart helps against an outage of that.
# With a password, give it to the check as well: REDIS_URL=redis://:PASSWORD@127.0.0.1:6379
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["aft", "txn", "list"]
ENTRYPOINT ["aft"]
