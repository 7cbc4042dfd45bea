"""A small web program started as `test_main.py --path=SOCKET --port=PORT`: answers on both, like the one it stands for."""
import argparse
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRODUCTS = [{"id": 1, "name": "noodles", "price": 18}, {"id": 2, "name": "dumplings", "price": 22}]


class Restaurant(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Instance", os.environ.get("SUPERVISOR_PROCESS_NAME", ""))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/api/products":
            self.answer(200, {"result": PRODUCTS})
        elif self.path == "/api/request":
            self.answer(200, {"host": self.headers.get("Host"), "forwarded": self.headers.get("X-Forwarded-For"), "instance": os.environ.get("SUPERVISOR_PROCESS_NAME"), "pid": os.getpid()})
        else:
            self.answer(404, {"info": "no such page"})

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        received = 0
        while received < length:
            chunk = self.rfile.read(min(65536, length - received))
            if not chunk:
                break
            received += len(chunk)
        self.answer(200, {"received": received})

    def address_string(self):
        return "proxy"

    def log_message(self, format, *args):
        print(format % args, flush=True)


class UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    request_queue_size = 128

    def server_bind(self):
        if os.path.exists(self.server_address):
            os.unlink(self.server_address)  # what a killed copy left
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0


class TcpServer(ThreadingHTTPServer):
    request_queue_size = 128


arguments = argparse.ArgumentParser()
arguments.add_argument("--path", required=True)
arguments.add_argument("--port", type=int, required=True)
given = arguments.parse_args()
for server in (UnixServer(given.path, Restaurant), TcpServer(("127.0.0.1", given.port), Restaurant)):
    threading.Thread(target=server.serve_forever).start()
print("serving on", given.path, "and port", given.port, flush=True)
