import { createServer } from 'node:net';

const listen = (port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });

/** Returns a TCP port that is free on 127.0.0.1: this one where it is, as a kubeconfig may name it, else any. */
export const freePort = (wanted = 0): Promise<number> => listen(wanted).catch(() => listen(0));
