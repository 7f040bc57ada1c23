import { request } from 'node:http';
import { type Answer, answerTo } from '../lib/cluster/http.ts';
import type { Lab } from '../lib/engine/lab.ts';

/** The node's port that leads to Traefik's HTTP; manifests/traefik.yaml fixes it. */
export const ingressPort = 30080;

/** Milliseconds after which a router that says nothing is taken as not answering. */
const patience = 2_000;

/**
 * What the ingress controller answers on the node's port to a GET of / for this host, whatever its status: a 404 from
 * it is an answer too. Throws when nobody answers.
 */
export const throughIngress = ({ node }: Pick<Lab, 'node'>, host: string): Promise<Answer> => {
  const options = { host: node.address, port: ingressPort, headers: { host }, timeout: patience, agent: false };
  return answerTo(request(options), { whom: `${node.address}:${ingressPort}`, patience });
};
