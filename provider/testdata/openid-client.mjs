// A relying party by somebody else: npm openid-client 6 walks a whole session.
// It prints the authorization URL, reads the callback URL from standard input,
// and prints what it learned as one JSON line.
import * as client from 'openid-client'
import readline from 'node:readline'

const [issuer, id, secret, redirect] = process.argv.slice(2)
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const insecure = { execute: [client.allowInsecureRequests] } // the test listens on loopback without TLS

const config = await client.discovery(new URL(issuer), id, secret, undefined, insecure)
const verifier = client.randomPKCECodeVerifier()
const nonce = client.randomNonce()
const state = client.randomState()
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: redirect, scope: 'openid profile email offline_access', state, nonce,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
})
console.log(url.href)
const { value: callback } = await lines.next()
const tokens = await client.authorizationCodeGrant(config, new URL(callback), {
  pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state, idTokenExpected: true,
})
const claims = tokens.claims()
const user = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
const live = await client.tokenIntrospection(config, refreshed.access_token)
await client.tokenRevocation(config, refreshed.refresh_token)
const dead = await client.tokenIntrospection(config, refreshed.access_token)
const machine = await client.clientCredentialsGrant(config)
console.log(JSON.stringify({
  sub: claims.sub, email: user.email, name: user.name, rotated: refreshed.refresh_token !== tokens.refresh_token,
  live: live.active, dead: dead.active, machine: machine.token_type,
}))
process.exit(0)
