// An identity provider by somebody else: npm samlify 2 behind Node's own server.
// It prints where it listens, checks the signature of everything that it is sent,
// and answers as the person at its login page asks.
import { createServer } from 'node:http'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import samlify from 'samlify'

const [folder, spMetadata, offered, host] = process.argv.slice(2) // offered: redirect, or post
const binding = { redirect: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect', post: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST' }
const persistent = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent'
const gcm = 'http://www.w3.org/2009/xmlenc11#aes256-gcm', cbc = 'http://www.w3.org/2001/04/xmlenc#aes256-cbc'
const people = {
  raj: { nameID: 'raj-7', mail: 'raj@acme.example', name: 'Raj Patel', group: 'cn=supervisors' },
  eve: { nameID: 'eve-1', mail: 'eve@acme.example', name: 'Eve & <Co>', group: 'cn=else' },
}

// What is signed and encrypted, by the words of the login page.
const ways = {
  'signed assertion': {},
  'signed message and assertion': { message: true },
  'encrypted assertion': { cipher: gcm },
  'encrypted assertion in a signed message': { cipher: gcm, message: true },
  'CBC in a signed message': { cipher: cbc, message: true },
  'CBC in a message that nobody signed': { cipher: cbc },
}

samlify.setSchemaValidator({ validate: () => Promise.resolve() })
const template = samlify.SamlLib.defaultLoginResponseTemplate.context.replace('{AuthnStatement}',
  '<saml:AuthnStatement AuthnInstant="{AuthnInstant}" SessionIndex="{SessionIndex}"><saml:AuthnContext><saml:AuthnContextClassRef>' +
  'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>')
const said = (name, valueTag) => ({ name, valueTag, nameFormat: 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic', valueXsiType: 'xs:string' })

const server = createServer(async (req, res) => {
  try {
    await routes[req.method + ' ' + new URL(req.url, base).pathname]?.(req, res) ?? page(res, 404, 'nothing here')
  } catch (err) {
    page(res, 400, 'refused: ' + escape(String(err?.message ?? err)))
  }
})
await new Promise((done) => server.listen(0, '127.0.0.1', done))
const base = `http://${host}:${server.address().port}`

const idp = (cipher) => samlify.IdentityProvider({
  entityID: base + '/metadata', signingCert: readFileSync(folder + '/idp.crt'), privateKey: readFileSync(folder + '/idp.key', 'utf8'),
  wantAuthnRequestsSigned: true, wantLogoutRequestSigned: true, wantLogoutResponseSigned: true, nameIDFormat: [persistent],
  singleSignOnService: [{ Binding: binding[offered], Location: base + '/sso' }], singleLogoutService: [{ Binding: binding[offered], Location: base + '/slo' }],
  isAssertionEncrypted: Boolean(cipher), dataEncryptionAlgorithm: cipher,
  loginResponseTemplate: { context: template, attributes: [said('mail', 'mail'), said('displayName', 'name'), said('memberOf', 'group')] },
})
const self = idp()

// The service provider is what its metadata says, and what a peer is told of it by hand.
const document = await (await fetch(spMetadata)).text()
const sp = (message) => samlify.ServiceProvider({ metadata: document, wantMessageSigned: Boolean(message), wantLogoutRequestSigned: true, wantLogoutResponseSigned: true })
const client = sp()

const sessions = new Map() // by cookie
const waiting = new Map() // logins under way
const leaving = new Set() // IDs of our logout requests
let stuck = false // nobody can be signed out

async function read(req) {
  const url = new URL(req.url, base)
  if (req.method === 'GET') {
    // The signature is over the query as it was sent.
    const octetString = url.search.slice(1).split('&').filter((p) => /^(SAMLRequest|SAMLResponse|RelayState|SigAlg)=/.test(p)).join('&')
    return { how: 'redirect', fields: Object.fromEntries(url.searchParams), request: { query: Object.fromEntries(url.searchParams), octetString } }
  }
  let body = ''
  for await (const chunk of req) body += chunk
  const fields = Object.fromEntries(new URLSearchParams(body))
  return { how: 'post', fields, request: { body: fields } }
}

const escape = (s) => s.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
function page(res, status, body) {
  res.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8' }).end('<!doctype html>' + body)
  return true
}
function posts(res, action, fields) {
  const inputs = Object.entries(fields).map(([k, v]) => `<input type="hidden" name="${k}" value="${escape(v)}">`)
  return page(res, 200, `<form method="post" action="${escape(action)}">${inputs.join('')}<button id="on">Go on</button></form>`)
}
function away(res, { context, entityEndpoint, type }, relayState) {
  if (entityEndpoint) return posts(res, entityEndpoint, { [type]: context, ...(relayState && { RelayState: relayState }) })
  res.writeHead(302, { Location: context }).end()
  return true
}
const cookieOf = (req) => /\bsamlify=([^;]+)/.exec(req.headers.cookie ?? '')?.[1]

function login(req, res, ask) {
  const session = sessions.get(cookieOf(req))
  if (session) return answer(res, session, ask)
  const id = randomUUID()
  waiting.set(id, ask)
  return page(res, 200, `<form method="post" action="/login"><input type="hidden" name="id" value="${id}"><input name="username"><input name="way"><button id="on">Sign in</button></form>`)
}

async function answer(res, session, { info, relayState }) {
  const way = ways[session.way], who = people[session.user], now = new Date(), source = idp(way.cipher), target = sp(way.message)
  const acs = target.entityMeta.getAssertionConsumerService('post'), soon = new Date(+now + 300_000).toISOString()
  const fill = (context) => {
    const id = '_' + randomUUID()
    return { id, context: samlify.SamlLib.replaceTagsByValue(context, {
      ID: id, AssertionID: '_' + randomUUID(), Issuer: source.entityMeta.getEntityID(), IssueInstant: now.toISOString(), Destination: acs, SubjectRecipient: acs,
      Audience: target.entityMeta.getEntityID(), InResponseTo: info?.extract.request.id, StatusCode: 'urn:oasis:names:tc:SAML:2.0:status:Success',
      NameIDFormat: persistent, NameID: who.nameID, ConditionsNotBefore: now.toISOString(), ConditionsNotOnOrAfter: soon, SubjectConfirmationDataNotOnOrAfter: soon,
      AuthnInstant: session.since, SessionIndex: session.index, attrMail: who.mail, attrName: who.name, attrGroup: who.group,
    }) }
  }
  return away(res, await source.createLoginResponse(target, info ?? {}, 'post', {}, { customTagReplacement: fill, encryptThenSign: Boolean(way.cipher) }), relayState)
}

async function sso(req, res) {
  const { how, fields, request } = await read(req)
  const info = await self.parseLoginRequest(client, how, request)
  if (info.extract.issuer !== client.entityMeta.getEntityID() || info.extract.request.destination !== base + '/sso') throw new Error('not for us, or by another')
  return login(req, res, { info, relayState: fields.RelayState })
}

async function slo(req, res) {
  const { how, fields, request } = await read(req)
  if (fields.SAMLResponse) {
    const info = await self.parseLogoutResponse(client, how, request)
    if (!leaving.delete(info.extract.response.inResponseTo)) throw new Error('an answer to nothing')
    return page(res, 200, 'signed out everywhere')
  }
  const info = await self.parseLogoutRequest(client, how, request)
  for (const [cookie, s] of sessions) {
    if (!stuck && people[s.user].nameID === info.extract.nameID && s.index === info.extract.sessionIndex) sessions.delete(cookie)
  }
  const outcome = (context) => {
    const id = '_' + randomUUID()
    return { id, context: samlify.SamlLib.replaceTagsByValue(context, {
      ID: id, Issuer: base + '/metadata', Destination: client.entityMeta.getSingleLogoutService(offered), IssueInstant: new Date().toISOString(),
      InResponseTo: info.extract.request.id, StatusCode: 'urn:oasis:names:tc:SAML:2.0:status:' + (stuck ? 'Responder' : 'Success'),
    }) }
  }
  return away(res, self.createLogoutResponse(client, info, offered, { relayState: fields.RelayState, customTagReplacement: outcome }), fields.RelayState)
}

const routes = {
  'GET /metadata': (_, res) => { res.writeHead(200, { 'Content-Type': 'application/samlmetadata+xml' }).end(self.getMetadata()); return true },
  'GET /sso': sso, 'POST /sso': sso, 'GET /slo': slo, 'POST /slo': slo,
  'GET /stick': (_, res) => { stuck = true; return page(res, 200, 'nobody gets out') },
  'GET /forget': (_, res) => { sessions.clear(); return page(res, 200, 'nobody is signed in') },
  'GET /begin': (req, res) => login(req, res, {}), // a sign-in that nobody has asked for
  'POST /login': async (req, res) => {
    const { fields } = await read(req), ask = waiting.get(fields.id), cookie = randomUUID()
    if (!ask || !people[fields.username] || !ways[fields.way]) throw new Error('no such login')
    waiting.delete(fields.id)
    const session = { user: fields.username, way: fields.way, index: '_' + randomUUID(), since: new Date().toISOString() }
    sessions.set(cookie, session)
    res.setHeader('Set-Cookie', `samlify=${cookie}; Path=/; HttpOnly`)
    return answer(res, session, ask)
  },
  'GET /logout': (req, res) => {
    const session = sessions.get(cookieOf(req)), everywhere = req.url.endsWith('?everywhere')
    if (!session) throw new Error('nobody is signed in')
    for (const [cookie, s] of sessions) if (s === session || everywhere && s.user === session.user) sessions.delete(cookie)
    const out = self.createLogoutRequest(client, offered, { logoutNameID: people[session.user].nameID, sessionIndex: everywhere ? undefined : session.index })
    leaving.add(out.id)
    return away(res, out)
  },
}
console.log(base)
