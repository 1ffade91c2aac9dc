"""A stand-in for the Hugging Face hub, for one model at a time: what is uploaded can be fetched."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """files: name -> content, of `repo` once that is made; large: SHA-256 -> content."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repo, self.files, self.large = None, {}, {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        hub, body = self.server, self.body()
        if self.path == "/api/repos/create":
            hub.repo = f"{json.loads(body)['organization']}/{json.loads(body)['name']}"
            self.answer({"url": f"{hub.url}/{hub.repo}"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            mode = {True: "lfs", False: "regular"}
            self.answer({"files": [
                {"path": file["path"], "uploadMode": mode[file["path"].endswith(".safetensors")],
                 "shouldIgnore": False} for file in files
            ]})  # fmt: skip
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for one in objects:
                one["actions"] = {"upload": {"href": f"{hub.url}/upload/{one['oid']}"}}
            self.answer({"transfer": "basic", "objects": objects})
        elif "/commit/main" in self.path:
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.large[value["oid"]]
            url = f"{hub.url}/{hub.repo}/commit/{COMMIT}"
            self.answer({"commitUrl": url, "commitOid": COMMIT, "success": True})
        else:
            self.answer({}, 404)

    def do_PUT(self):
        self.server.large[self.path.rpartition("/")[2]] = self.body()
        self.answer({})

    def do_GET(self):
        hub = self.server
        name = self.path.rpartition("/")[2]
        if f"/{hub.repo}" not in self.path:
            self.answer({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif "/resolve/" in self.path:
            content = hub.files[name]
            etag = hashlib.sha256(content).hexdigest()
            self.answer(content, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        elif "/tree/" in self.path:
            self.answer([
                {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                for name, content in hub.files.items()
            ])  # fmt: skip
        else:
            siblings = [{"rfilename": name} for name in hub.files]
            self.answer({"id": hub.repo, "sha": COMMIT, "siblings": siblings})

    do_HEAD = do_GET

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, content, status: int = 200, headers: dict | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(data), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass
