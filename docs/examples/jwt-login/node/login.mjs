// A login page that signs agents in at Chatelaine by a JWT.
// LISTEN, CONNECTION (https://id.example/federation/portal), ISSUER, KID, SECRET.
import { createServer } from "node:http";
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

const { LISTEN, CONNECTION, ISSUER, KID, SECRET } = process.env;
// people stands for your own accounts.
const people = { raj: { password: "rajs-password", email: "raj@acme.example", name: "Raj Patel" } };

const part = (v) => Buffer.from(JSON.stringify(v)).toString("base64url");
const escape = (s) => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function token(id) {
  const { email, name } = people[id];
  const claims = { aud: CONNECTION, iss: ISSUER, iat: Math.floor(Date.now() / 1000), jti: randomUUID(), sub: id, email, name };
  const signed = `${part({ alg: "HS256", typ: "JWT", kid: KID })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

function same(a, b) {
  const [x, y] = [a, b].map((s) => createHmac("sha256", SECRET).update(s).digest());
  return timingSafeEqual(x, y);
}

createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const to = searchParams.get("return_to") ?? "";
  if (pathname === "/logout" && to.startsWith(`${CONNECTION}/logout?`)) { // here the session of your own page ends
    response.writeHead(303, { Location: to }).end();
    return;
  }
  if (pathname === "/logout" || !to.startsWith(`${CONNECTION}/jwt?`)) { // or whoever writes the link gets the token
    response.writeHead(400).end("return_to is not the connection's");
    return;
  }
  let body = "";
  for await (const chunk of request) if ((body += chunk).length > 4096) return request.destroy();
  const typed = new URLSearchParams(body);
  const id = typed.get("user") ?? "";
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  if (request.method !== "POST" || !Object.hasOwn(people, id) || !same(people[id].password, typed.get("password") ?? "")) {
    response.end(`<!doctype html><title>Log in</title>
<form method="post"><input name="user" autocomplete="username"><input name="password" type="password"><button>Log in</button></form>`);
    return;
  }
  response.end(`<!doctype html><title>One moment</title>
<form method="post" action="${escape(to)}"><input type="hidden" name="jwt" value="${token(id)}"><button id="continue">Continue</button></form>
<script>document.forms[0].submit()</script>`);
}).listen(Number(LISTEN.split(":")[1]), LISTEN.split(":")[0]);
