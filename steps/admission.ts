import type { Lab } from '../lib/engine/lab.ts';
import { paths } from '../lib/host/paths.ts';

/** What kube-apiserver lets pass, and what it writes down of it: the content of its three files beside the flags. */

/** File that says who may come without showing who he is. */
export const authenticationFile = `${paths.config}/authentication.yaml`;
/** File with the settings of admission plugins. */
export const admissionFile = `${paths.config}/admission.yaml`;
/** File that says what is written down of a request. */
export const auditFile = `${paths.config}/audit-policy.yaml`;

/**
 * Lets nobody in without a name but to ask for the server's health, as a load balancer or a probe does
 * (kubernetes.io/docs/reference/access-authn-authz/authentication, "Anonymous authenticator configuration").
 */
export const authentication = {
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'AuthenticationConfiguration',
  anonymous: { enabled: true, conditions: ['/livez', '/readyz', '/healthz'].map((path) => ({ path })) },
};

/**
 * Limits of events, a second and at once. A hundred Pods that start make four hundred in half a minute; one that loops
 * must not fill etcd.
 */
const eventLimits = [
  { type: 'Server', qps: 200, burst: 2000 },
  { type: 'Namespace', qps: 100, burst: 1000 },
  { type: 'User', qps: 50, burst: 1000 },
];

/**
 * Settings of the admission plugins. The level of Pods holds where a namespace has no label of its own; agents of the
 * network and of the cluster are in kube-system.
 */
export const admission = ({ podSecurity }: Pick<Lab, 'podSecurity'>) => ({
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'AdmissionConfiguration',
  plugins: [
    {
      name: 'EventRateLimit',
      configuration: {
        apiVersion: 'eventratelimit.admission.k8s.io/v1alpha1',
        kind: 'Configuration',
        limits: eventLimits,
      },
    },
    {
      name: 'PodSecurity',
      configuration: {
        apiVersion: 'pod-security.admission.config.k8s.io/v1',
        kind: 'PodSecurityConfiguration',
        defaults: { enforce: podSecurity, audit: podSecurity, warn: podSecurity },
        exemptions: { namespaces: ['kube-system'] },
      },
    },
  ],
});

/**
 * Audit policy: user, request and time, without bodies, so that no Secret is written to a log. Leases and reads, most of
 * the requests, are left out, but for who reads a Secret, and who goes into a Pod or through a proxy: kubectl exec is a
 * get since it uses WebSockets.
 */
export const auditPolicy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'None', resources: [{ group: 'coordination.k8s.io', resources: ['leases'] }] },
    {
      level: 'Metadata',
      resources: [
        {
          group: '',
          resources: [
            'secrets',
            'pods/exec',
            'pods/attach',
            'pods/portforward',
            'pods/proxy',
            'services/proxy',
            'nodes/proxy',
          ],
        },
      ],
    },
    { level: 'None', verbs: ['get', 'list', 'watch'] },
    { level: 'Metadata' },
  ],
};

/** Gives the group of admin.conf its rights, which a role can take away again, unlike those of system:masters. */
export const clusterAdmins = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRoleBinding',
  metadata: { name: 'hardway:cluster-admins' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
  subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'hardway:cluster-admins' }],
};
