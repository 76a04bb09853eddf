// Signs {claims, secret, keys: {RS256: PEM, …}} of the standard input with two
// libraries that customers' login pages use, and writes {"library alg": token}.
import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { SignJWT } from 'jose'
import jsonwebtoken from 'jsonwebtoken'

const { claims, secret, keys } = JSON.parse(readFileSync(0, 'utf8'))
const tokens = {}
for (const alg of ['HS256', 'HS384', 'HS512', ...Object.keys(keys)]) {
  const key = alg.startsWith('HS') ? Buffer.from(secret) : createPrivateKey(keys[alg])
  tokens['jose ' + alg] = await new SignJWT(claims).setProtectedHeader({ alg, typ: 'JWT', kid: alg }).sign(key)
  if (alg !== 'EdDSA') {
    tokens['jsonwebtoken ' + alg] = jsonwebtoken.sign(claims, key, { algorithm: alg, keyid: alg })
  }
}
process.stdout.write(JSON.stringify(tokens))
