#!/bin/sh
# Makes the authority and the certificate of the tests anew: good from 2020 on, whatever the clock says.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cat > "$work/config" <<END
[ca]
default_ca = ours
[ours]
new_certs_dir = $work
database = $work/index
serial = $work/serial
default_md = sha256
policy = any
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, DNS:license.example
[req]
distinguished_name = any
END
touch "$work/index"
echo 01 > "$work/serial"
request() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -config "$work/config" \
    -keyout "$2" -out "$work/request"
}
sign() {
  openssl ca -batch -notext -config "$work/config" -in "$work/request" -startdate 20200101000000Z \
    -enddate 21200101000000Z -keyfile "$work/ca.key" "$@"
}
request "Example Company Authority" "$work/ca.key"
sign -selfsign -extensions authority -out ca.pem
request license.example server.key
sign -cert ca.pem -extensions server -out server.pem
