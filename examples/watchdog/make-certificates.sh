#!/bin/sh
# Makes the three certificate files of the example in ssl/: a root (1), a certificate for localhost signed by it (2), its key (3).
set -eu
cd "$(dirname -- "$0")"
mkdir -p ssl
cd ssl
openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj '/CN=watchdog example root' -keyout root.key -out 1_root_bundle.crt 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout 3_localhost.key -out localhost.csr 2>/dev/null
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >localhost.ext
openssl x509 -req -in localhost.csr -CA 1_root_bundle.crt -CAkey root.key -CAcreateserial -days 300 -extfile localhost.ext -out 2_localhost.crt 2>/dev/null
chmod 600 3_localhost.key root.key
rm -f localhost.csr localhost.ext 1_root_bundle.srl
