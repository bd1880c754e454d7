// An independent issuer for the tests of key rotation: npm's oidc-provider, made to look like a tenant of Entra.
//
//   node oidc-provider.mjs FOLDER TENANT AUDIENCE CLIENT OBJECT
//
// FOLDER holds node_modules. It prints its base address, and ends when its standard input does. POST /keys?K2,K1 makes
// it publish these keys, of which the first signs.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [folder, tenant, audience, client, object] = process.argv.slice(2)
const { Provider } = await import(pathToFileURL(join(folder, 'node_modules/oidc-provider/lib/index.js')))

const pairs = Object.fromEntries(['K1', 'K2', 'K3'].map((kid) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return [kid, { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' }]
}))

function issuerWith(base, kids) {
  const provider = new Provider(`${base}/${tenant}/v2.0`, {
    clients: [{
      client_id: client, client_secret: 'not-a-secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
      token_endpoint_auth_method: 'client_secret_post',
    }],
    jwks: { keys: kids.map((kid) => pairs[kid]) },
    routes: { jwks: '/discovery/v2.0/keys', token: '/oauth2/v2.0/token' },
    ttl: { ClientCredentials: 3600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:verdict:test',
        getResourceServerInfo: () => ({
          scope: '', audience, accessTokenTTL: 3600, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    formats: {
      customizers: {
        jwt(_ctx, _token, parts) {
          parts.header = { ...parts.header, typ: 'JWT' }
          Object.assign(parts.payload, {
            tid: tenant, oid: object, azp: client, azpacr: '1', ver: '2.0', idtyp: 'app', roles: ['Order.Admin'], nbf: parts.payload.iat,
          })
        },
      },
    },
  })
  provider.on('server_error', (_ctx, error) => console.error(error))
  return provider.callback()
}

let current
const server = createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost')
  if (req.method === 'POST' && url.pathname === '/keys') {
    current = issuerWith(base, url.search.slice(1).split(','))
    res.end('ok')
    return
  }
  const mount = `/${tenant}/v2.0`
  if (!url.pathname.startsWith(mount + '/')) {
    res.writeHead(404).end()
    return
  }
  req.originalUrl = req.url
  req.url = req.url.slice(mount.length)
  current(req, res)
})
let base
server.listen(0, '127.0.0.1', () => {
  base = `http://127.0.0.1:${server.address().port}`
  current = issuerWith(base, ['K1'])
  console.log(base)
})
process.stdin.on('end', () => process.exit(0)).resume()
