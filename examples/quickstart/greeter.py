"""Answers every GET with a greeting, on the unix socket named by the first argument."""
import json
import os
import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Greeter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"text": os.environ.get("GREETING", "Hello"), "instance": os.environ.get("STEWARD_INSTANCE")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "gateway"  # a unix socket has no address of its peer

    def log_message(self, format, *args):
        print(format % args, flush=True)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


print("greeting on", sys.argv[1], flush=True)
Server(sys.argv[1], Greeter).serve_forever()
