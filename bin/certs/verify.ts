import { hostname, networkInterfaces } from 'node:os';
import { runChecks } from '../../lib/engine/check.ts';
import { Unhealthy } from '../../lib/engine/errors.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import { certFile } from '../../lib/host/paths.ts';
import { findCommand, tryRun } from '../../lib/host/run.ts';
import { type Pem, problemsOf } from '../../lib/pki/issue.ts';
import { type CertificateRequest, isAuthority } from '../../lib/pki/templates.ts';
import { certificates, everyName, type NamedCertificate, readRotated, requestsFor } from '../../steps/certificates.ts';
import { stepsWith } from '../../steps/index.ts';
import { kubeconfigs } from '../../steps/kubeconfigs.ts';
import { requireLab } from '../lab.ts';

/** What was found of a certificate, or of something that holds one; no `problems` where all is right. */
interface Finding {
  readonly what: string;
  readonly problems: readonly string[];
}

/** Returns why a certificate does not verify by the strict rules of RFC 5280, in the words of openssl. */
const strictProblem = async (
  { name, CN, signer }: NamedCertificate,
  authority: CertificateRequest,
): Promise<string | undefined> => {
  if (CN === undefined) return undefined; // a key pair alone
  const file = certFile(name);
  // While a CA is replaced a server's file holds the new CA's certificate by the old one as well.
  // An intermediate CA that was given is trusted itself, not the one above it.
  const partial = authority.given ? ['-partial_chain'] : [];
  const args = ['verify', '-x509_strict', ...partial, '-CAfile', certFile(signer ?? name), '-untrusted', file, file];
  const { code, stderr, stdout } = await tryRun('openssl', args);
  if (code === 0) return undefined;
  const said = `${stderr}\n${stdout}`.split('\n').find((line) => line.startsWith('error ')) ?? stderr.trim();
  return `openssl verify -x509_strict: ${said}`;
};

/** Returns why a machine of this name and these addresses is not the one that the lab's certificates name. */
export const machineProblem = ({ node }: Lab, name: string, addresses: readonly string[]): string | undefined => {
  if (node.name !== name) return `this machine is called ${name}, and the certificates name ${node.name}`;
  return addresses.includes(node.address)
    ? undefined
    : `this machine has not the address ${node.address}, which the certificates name; it has ${addresses.join(', ')}`;
};

const addressesHere = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address) ?? []);

const ofCertificate = async (
  request: NamedCertificate,
  {
    pems,
    requests,
    strict,
  }: {
    readonly pems: ReadonlyMap<string, Pem>;
    readonly requests: readonly CertificateRequest[];
    readonly strict: boolean;
  },
): Promise<Finding> => {
  const pem = pems.get(request.name);
  const what = request.name;
  if (!pem) return { what, problems: [`${certFile(request.name)} or its key is missing`] };
  const signer = requests.find(({ name }) => name === request.signer) ?? request;
  const ca = isAuthority(request) ? pem.certificate : (pems.get(signer.name)?.certificate ?? '');
  const problems = problemsOf(request, pem, ca);
  const unverified = strict && problems.length === 0 ? await strictProblem(request, signer) : undefined;
  return { what, problems: [...problems, ...(unverified ? [unverified] : [])] };
};

/** Looks at what the checks of the steps say of keys and kubeconfigs: who may read them, and which certificate they hold. */
const ofSteps = async (lab: Lab): Promise<readonly Finding[]> => {
  const steps = stepsWith(lab);
  const context = readOnlyContext(lab, steps);
  const found = await Promise.all(
    [certificates, kubeconfigs].map(async (step) => {
      const failures = await runChecks(step.checks, context);
      return step.checks.map(({ phrase }) => ({
        what: phrase,
        problems: failures.filter((one) => one.phrase === phrase).map(({ reason }) => reason),
      }));
    }),
  );
  return found.flat();
};

/** Verifies every certificate of a lab, and what holds one. */
export const findingsOf = async (lab: Lab): Promise<readonly Finding[]> => {
  const requests = await requestsFor(lab);
  const { pems } = await readRotated(requests);
  const strict = (await findCommand('openssl')) !== undefined;
  const each = await Promise.all(everyName(requests).map((one) => ofCertificate(one, { pems, requests, strict })));
  const machine = machineProblem(lab, hostname(), addressesHere());
  return [
    ...each,
    { what: 'they name this machine', problems: machine === undefined ? [] : [machine] },
    ...(await ofSteps(lab)),
  ];
};

/** `hardway certs verify`. Throws Unhealthy where something is not right. */
export const verify = async ({ json }: { readonly json?: boolean }): Promise<void> => {
  const { lab } = await requireLab();
  const findings = await findingsOf(lab);
  for (const { what, problems } of findings) {
    const lines =
      problems.length === 0 ? [`ok    ${what}`] : [`FAIL  ${what}`, ...problems.map((one) => `      ${one}`)];
    process.stdout.write(
      json ? `${JSON.stringify({ what, ok: problems.length === 0, problems })}\n` : `${lines.join('\n')}\n`,
    );
  }
  if ((await findCommand('openssl')) === undefined && !json)
    process.stdout.write(
      'openssl is not on this machine: the strict rules were not looked at (apt-get install openssl)\n',
    );
  const wrong = findings.filter(({ problems }) => problems.length > 0).length;
  if (wrong > 0)
    throw new Unhealthy(`${wrong} of ${findings.length} are not right`, {
      next: 'hardway up makes anew what does not fit, and starts again what uses it',
    });
};
