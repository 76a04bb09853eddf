# A login page that signs agents in at Chatelaine by a JWT.
# LISTEN, CONNECTION (https://id.example/federation/portal), ISSUER, KID, SECRET.
import base64, hashlib, hmac, html, json, os, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CONNECTION, ISSUER, KID, SECRET = (os.environ[n] for n in ("CONNECTION", "ISSUER", "KID", "SECRET"))
# PEOPLE stands for your own accounts.
PEOPLE = {"raj": {"password": "rajs-password", "email": "raj@acme.example", "name": "Raj Patel"}}
FORM = """<!doctype html><title>Log in</title>
<form method="post"><input name="user" autocomplete="username"><input name="password" type="password"><button>Log in</button></form>"""
ANSWER = """<!doctype html><title>One moment</title>
<form method="post" action="{to}"><input type="hidden" name="jwt" value="{jwt}"><button id="continue">Continue</button></form>
<script>document.forms[0].submit()</script>"""


def part(raw):
    return base64.urlsafe_b64encode(raw if isinstance(raw, bytes) else json.dumps(raw).encode()).rstrip(b"=").decode()


def token(user):
    who = PEOPLE[user]
    claims = {"aud": CONNECTION, "iss": ISSUER, "iat": int(time.time()), "jti": str(uuid.uuid4()),
              "sub": user, "email": who["email"], "name": who["name"]}
    signed = part({"alg": "HS256", "typ": "JWT", "kid": KID}) + "." + part(claims)
    return signed + "." + part(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())


class Login(BaseHTTPRequestHandler):
    def do_GET(self):
        at = urlsplit(self.path)
        to = parse_qs(at.query).get("return_to", [""])[0]
        if at.path == "/logout" and to.startswith(CONNECTION + "/logout?"):  # here the session of your own page ends
            self.send_response(303)
            self.send_header("Location", to)
            return self.end_headers()
        if at.path == "/logout" or not to.startswith(CONNECTION + "/jwt?"):  # or whoever writes the link gets the token
            return self.answer(400, "return_to is not the connection's")
        length = min(int(self.headers.get("Content-Length") or 0), 4096)
        typed = parse_qs(self.rfile.read(length).decode()) if self.command == "POST" else {}
        user, password = (typed.get(n, [""])[0] for n in ("user", "password"))
        if user not in PEOPLE or not hmac.compare_digest(PEOPLE[user]["password"].encode(), password.encode()):
            return self.answer(200, FORM)
        self.answer(200, ANSWER.format(to=html.escape(to), jwt=token(user)))

    do_POST = do_GET

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())


host, port = os.environ["LISTEN"].split(":")
ThreadingHTTPServer((host, int(port)), Login).serve_forever()
