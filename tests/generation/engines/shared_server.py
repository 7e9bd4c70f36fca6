"""A model server for tests: python shared_server.py <port> <folder> [model]. It leaves its process ids in the folder, has a child that
ignores SIGTERM, and answers each prompt with its last word; model `die` does not load, `mortal` dies after eight answers."""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

answered = []
port, folder = int(sys.argv[1]), sys.argv[2]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({"data": [{"id": sys.argv[3]}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(0.05)
        answered.append(body)
        if sys.argv[3:] == ["mortal"] and len(answered) > 8:
            os._exit(1)
        self.answer({"choices": [{"text": body["prompt"].split()[-1], "finish_reason": "stop"}]})


if sys.argv[3:] == ["die"]:
    sys.exit("ValueError: this model has no weights")
if sys.argv[3:] == ["child"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
child = subprocess.Popen([sys.executable, __file__, "0", folder, "child"])
with open(os.path.join(folder, "pids"), "a") as pids:
    print(os.getpid(), child.pid, file=pids, flush=True)
time.sleep(0.5)  # to load
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
