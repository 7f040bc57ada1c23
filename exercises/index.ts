import { apiGone } from './api-gone.ts';
import type { Exercise } from './exercise.ts';
import { logsRefused } from './logs-refused.ts';
import { newServices } from './new-services.ts';
import { noEndpoints } from './no-endpoints.ts';
import { notReady } from './not-ready.ts';
import { oldFlag } from './old-flag.ts';
import { pending } from './pending.ts';
import { twoNetworks } from './two-networks.ts';

/** Every exercise, the easier ones first. */
export const exercises: readonly Exercise[] = [
  pending,
  oldFlag,
  twoNetworks,
  notReady,
  newServices,
  apiGone,
  noEndpoints,
  logsRefused,
];
