import { request } from 'node:http';
import type { Lab } from '../engine/lab.ts';

/** The node's port that leads to Traefik's HTTP; manifests/traefik.yaml fixes it. */
export const ingressPort = 30080;

/** Milliseconds after which a router that says nothing is taken as not answering. */
const patience = 2_000;

/**
 * What the ingress controller answers on the node's port to a GET of / for this host, whatever its status: a 404 from
 * it is an answer too. Throws when nobody answers.
 */
export const throughIngress = ({ node }: Pick<Lab, 'node'>, host: string): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const options = { host: node.address, port: ingressPort, headers: { host }, timeout: patience, agent: false };
    const asked = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer in ${patience / 1000} s`)));
    asked.on('error', reject);
    asked.end();
  });
