# Debian's redis-server in the shape of the official image: same paths, same uid.
FROM scratch
COPY . /
ENV PATH=/usr/local/bin:/usr/bin:/bin
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["redis-server"]
