// An OpenID provider by somebody else: npm oidc-provider 9, certified by the OpenID
// Foundation. It prints where it listens; its one client is the connection whose
// address it is given. It demands PKCE, says who somebody is in userinfo alone, and
// tells the connection of every logout.
import { createServer } from 'node:http'
import { generateKeyPairSync } from 'node:crypto'
import { Provider } from 'oidc-provider'

const [connection, secret, alg, authMethod, withSID] = process.argv.slice(2)
const kinds = { RS256: ['rsa', { modulusLength: 2048 }], PS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] }
const key = (alg) => ({ ...generateKeyPairSync(...kinds[alg]).privateKey.export({ format: 'jwk' }), kid: alg.toLowerCase(), alg, use: 'sig' })
const people = {
  raj: { sub: 'raj-7', email: 'raj@acme.example', email_verified: true, name: 'Raj Patel', locale: 'de', phone_number: '+49 30 1', groups: ['supervisors', 'staff'] },
  eve: { sub: 'eve-1', email: 'eve@acme.example', email_verified: false, name: 'Eve', groups: [] },
}
const person = (sub) => Object.values(people).find((p) => p.sub === sub)

let provider
const server = createServer((req, res) => {
  const at = new URL(req.url, base)
  if (!at.pathname.startsWith('/login/')) return provider.callback()(req, res)
  login(req, res).catch((err) => page(res, 400, 'refused: ' + err))
})
await new Promise((done) => server.listen(0, '127.0.0.1', done))
const base = `http://127.0.0.1:${server.address().port}`

provider = new Provider(base, {
  clients: [{
    client_id: 'house', client_secret: secret, token_endpoint_auth_method: authMethod, id_token_signed_response_alg: alg,
    redirect_uris: [connection + '/callback'], post_logout_redirect_uris: [connection + '/logout'],
    backchannel_logout_uri: connection + '/backchannel', backchannel_logout_session_required: withSID === 'sid',
  }],
  jwks: { keys: [...new Set(['RS256', alg])].map(key) },
  enabledJWA: { idTokenSigningAlgValues: Object.keys(kinds) },
  cookies: { keys: ['a key for this test'] },
  claims: { openid: ['sub', 'amr'], email: ['email', 'email_verified'], profile: ['name', 'locale', 'groups'], phone: ['phone_number'] },
  pkce: { required: () => true },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true, logoutSource: (ctx, form) => { ctx.body = form.replace('</form>', '<input type="hidden" name="logout" value="yes"><button>Sign out</button></form>') } },
  },
  findAccount: (_, sub) => person(sub) && { accountId: sub, claims: () => person(sub) },
  interactions: { url: (_, interaction) => '/login/' + interaction.uid },
  // Whoever is signed in has agreed.
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId })
    grant.addOIDCScope('openid profile email phone')
    await grant.save()
    return grant
  },
  fetch: (url, { dispatcher, ...options }) => fetch(url, options), // the connection is on loopback
  renderError: (ctx, out) => { ctx.type = 'text'; ctx.body = `${out.error}: ${out.error_description}` },
})
const failed = (what) => (...args) => console.error(what, args.find((a) => a instanceof Error)?.error_detail ?? args.find((a) => a instanceof Error)?.message)
for (const what of ['server_error', 'backchannel.error', 'grant.error', 'authorization.error', 'end_session.error']) provider.on(what, failed(what))
provider.on('backchannel.success', () => console.error('the connection has taken a logout token'))

async function login(req, res) {
  const { prompt } = await provider.interactionDetails(req, res)
  if (prompt.name !== 'login') throw new Error('asked for ' + prompt.name)
  if (req.method === 'GET') return page(res, 200, '<form method="post"><input name="username"><button>Sign in</button></form>')
  let body = ''
  for await (const chunk of req) body += chunk
  const who = people[new URLSearchParams(body).get('username')]
  return provider.interactionFinished(req, res, who ? { login: { accountId: who.sub, amr: ['pwd', 'mfa'] } } : { error: 'access_denied', error_description: 'nobody of that name' })
}

function page(res, status, body) {
  res.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8' }).end('<!doctype html>' + body)
}
console.log(base)
