import { reasonOf } from '../engine/errors.ts';

/** Why a request failed, for a person: what it was, what helps, and whether asking again is useless. */
export interface Cause {
  readonly words: string;
  readonly next: string;
  readonly final: boolean;
}

/** Variables with the address of a proxy for https. */
const proxies = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'];
const hasProxy = (): boolean => proxies.some((name) => process.env[name]);

const again = 'run the same command again, it goes on where it stopped';

/** Says how to name a proxy. sudo drops the variable of a person, so it is written behind sudo. */
const nameProxy = (): string =>
  hasProxy()
    ? 'is the proxy in HTTPS_PROXY the right one?'
    : 'behind a proxy: sudo HTTPS_PROXY=http://PROXY:3128 hardway up';

const day = (): string => new Date().toISOString().slice(0, 16).replace('T', ' ');

/** A kind of failure: how it is known, and its cause. Codes are those of Node (nodejs.org/api/errors.html) and OpenSSL. */
interface Kind {
  readonly codes?: readonly string[];
  readonly message?: RegExp;
  readonly cause: (site: string, message: string) => Cause;
}

const kinds: readonly Kind[] = [
  {
    codes: ['CERT_NOT_YET_VALID'],
    cause: (site) => ({
      words: `the certificate of ${site} is not valid yet: the clock of this machine says ${day()} UTC`,
      next: 'set the clock: timedatectl set-ntp true, or date -s "YYYY-MM-DD HH:MM"; then the same command again',
      final: true,
    }),
  },
  {
    codes: ['CERT_HAS_EXPIRED'],
    cause: (site) => ({
      words: `the certificate of ${site} has expired: the clock of this machine says ${day()} UTC`,
      next: 'set the clock where it is wrong: timedatectl set-ntp true; where it is right, something on the way answers instead of the site',
      final: true,
    }),
  },
  {
    codes: [
      'SELF_SIGNED_CERT_IN_CHAIN',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    ],
    cause: (site) => ({
      words: `the certificate of ${site} is signed by a CA that is not known here, such as that of a company's proxy`,
      next: "put the CA's certificate into /usr/local/share/ca-certificates as a .crt file, update-ca-certificates, and the same command again",
      final: true,
    }),
  },
  {
    codes: ['ERR_TLS_CERT_ALTNAME_INVALID'],
    cause: (site) => ({
      words: `what answers as ${site} has the certificate of another site: a login page of the network, or a wrong name server`,
      next: `log in to the network, or see who answers: curl -v https://${site}`,
      final: true,
    }),
  },
  {
    codes: ['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA'],
    cause: (site) => ({
      words: `the name ${site} cannot be resolved`,
      next: `see whether the name server answers: getent hosts ${site}; then the same command again; ${nameProxy()}`,
      final: false,
    }),
  },
  {
    message: /Proxy response \(407\)/,
    cause: () => ({
      words: 'the proxy wants a name and a password (407)',
      next: 'write both into the address: sudo HTTPS_PROXY=http://NAME:PASSWORD@PROXY:3128 hardway up, with %40 for @',
      final: true,
    }),
  },
  {
    message: /Proxy response \(4\d\d\)/,
    cause: (site, message) => ({
      words: `the proxy does not let ${site} through (${/\((\d+)\)/.exec(message)?.[1]})`,
      next: 'ask who runs the proxy for that site, or name a mirror: HARDWAY_MIRROR=https://mirror.example/path',
      final: true,
    }),
  },
  {
    message: /answered 429/,
    cause: (_site, message) => ({
      words: message,
      next: `the site has had too many requests from this address: in some minutes ${again}`,
      final: false,
    }),
  },
];

/** Words for codes whose own message names no cause. */
const plainWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there (ECONNREFUSED)',
  ECONNRESET: 'the connection was closed by the other side',
  EPIPE: 'the connection was closed by the other side',
  UND_ERR_SOCKET: 'the connection was closed by the other side',
  ENETUNREACH: 'there is no way to it from this machine (ENETUNREACH)',
  EHOSTUNREACH: 'there is no way to it from this machine (EHOSTUNREACH)',
  ETIMEDOUT: 'it cannot be reached: no answer to the connection',
  UND_ERR_CONNECT_TIMEOUT: 'it cannot be reached: no answer to the connection',
  UND_ERR_HEADERS_TIMEOUT: 'it accepts the connection and says nothing',
  UND_ERR_BODY_TIMEOUT: 'it has stopped sending',
};

/** Returns the cause of what was thrown while `url` was asked. */
export const causeOf = (thrown: unknown, url: string): Cause => {
  const site = URL.parse(url)?.hostname ?? url;
  const code = (thrown as NodeJS.ErrnoException)?.code ?? '';
  const message = reasonOf(thrown);
  const kind = kinds.find((one) => one.codes?.includes(code) || one.message?.test(message));
  if (kind) return kind.cause(site, message);
  const words = plainWords[code] ? `${URL.parse(url)?.host}: ${plainWords[code]}` : message;
  return { words, next: `${again}; ${nameProxy()}`, final: false };
};
