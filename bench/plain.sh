#!/bin/bash
# The plain ordered bring-up that `hardway up` is measured against: what somebody who knows the way would write by hand.
# The same binaries, images, objects and proofs; openssl for certificates, systemd to start components, each gated by
# its health check, looked at every 50 ms. No undo, no resuming, no checks of the machine, no reasons in its errors.
# Wants a clean VM, root, and from its environment: `programs`, the folders of the binaries as PATH has them; `archives`,
# the folder of the image archives; `pause`, `coredns` and `agnhost`, the images by their references. Prints `STEP SECONDS` when a step is done, seconds since its own start.
set -euo pipefail

begin=$EPOCHREALTIME
# (Pipes end in grep >/dev/null, not grep -q, which would end the writer with SIGPIPE.)
lap() {
  local ms=$(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
  printf '%s %d.%03d\n' "$1" $((ms / 1000)) $((ms % 1000))
}

project=$(cd "$(dirname "$0")/.." && pwd)
: "${programs:?}" "${archives:?}" "${pause:?}" "${coredns:?}" "${agnhost:?}"
home=/var/lib/plain
pki=$home/pki
pods=10.200.0.0/16 services=10.32.0.0/24 api=10.32.0.1 dns=10.32.0.10 domain=cluster.local
containerd=unix:///run/containerd/containerd.sock

# soon WHAT COMMAND...: until it succeeds; its last words when it has not after a minute.
soon() {
  local what=$1 end=$((SECONDS + 60)) said
  shift
  until said=$("$@" 2>&1); do
    if ((SECONDS > end)); then
      echo "$what: $said" >&2
      exit 1
    fi
    sleep 0.05
  done
}

# daemon NAME FLAGS...: its binary as a service of that name.
daemon() {
  local name=$1
  shift
  systemd-run --quiet --unit="$name" --setenv=PATH="$PATH" --property=Restart=always --property=RestartSec=1 \
    --property=Delegate=yes --property=KillMode=process --property=LimitNOFILE=1048576 -- "$(command -v "$name")" "$@"
}

ask() { curl -sSf --max-time 5 "$@"; }
ask_api() { ask --cacert $pki/ca.pem --cert $pki/admin.pem --key $pki/admin-key.pem "https://127.0.0.1:6443$1"; }

# --- this machine
umask 077
mkdir -p $pki $home/kubeconfigs $home/etcd /etc/cni/net.d /var/lib/kubelet
PATH=$programs:$PATH
plugins=$(dirname "$(command -v host-local)")
node=$(hostname)
address=$(ip -4 -o addr show dev "$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p')" | awk '{ split($4, a, "/"); print a[1] }')
echo 1 >/proc/sys/net/ipv4/ip_forward
# What this machine needs told and others do not (lib/host/facts.ts).
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  cgroup_driver=systemd systemd_cgroups=true
else
  cgroup_driver=cgroupfs systemd_cgroups=false
fi
bounding=$(sed -n 's/^CapBnd:\s*//p' /proc/self/status)
restrict_oom_score=true
if ((16#$bounding >> 24 & 1)); then restrict_oom_score=false; fi # CAP_SYS_RESOURCE
conntrack='conntrack: { maxPerCore: 0, min: 0 }'
if [ -n "$(find /proc/sys/net/netfilter/nf_conntrack_max -perm -200)" ]; then conntrack=; fi
if grep -q '^nameserver' /etc/resolv.conf && ! grep -q '^nameserver 127' /etc/resolv.conf; then
  resolv=/etc/resolv.conf forward='forward . /etc/resolv.conf'
else
  resolv=$home/resolv.conf forward='# nobody to ask'
  : >$resolv
fi
lap preflight

# --- certificates: ten, RSA 2048, one after the other
# certificate NAME SUBJECT USAGE [SANS]
certificate() {
  openssl req -newkey rsa:2048 -noenc -keyout $pki/"$1"-key.pem -subj "$2" 2>/dev/null |
    openssl x509 -req -CA $pki/ca.pem -CAkey $pki/ca-key.pem -days 365 -out $pki/"$1".pem 2>/dev/null -extfile <(
      echo 'basicConstraints = critical, CA:FALSE'
      echo 'keyUsage = critical, digitalSignature, keyEncipherment'
      echo "extendedKeyUsage = $3"
      echo 'subjectKeyIdentifier = hash'
      echo 'authorityKeyIdentifier = keyid'
      if [ -n "${4-}" ]; then echo "subjectAltName = $4"; fi
    )
}
openssl req -x509 -newkey rsa:2048 -noenc -keyout $pki/ca-key.pem -out $pki/ca.pem -days 3650 -subj /CN=kubernetes-ca \
  -addext 'keyUsage = critical, digitalSignature, keyCertSign, cRLSign' 2>/dev/null
here="IP:127.0.0.1, DNS:localhost, DNS:$node, IP:$address"
names="DNS:kubernetes, DNS:kubernetes.default, DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.$domain"
certificate etcd "/CN=$node" 'serverAuth, clientAuth' "$here"
certificate apiserver /CN=kube-apiserver serverAuth "$here, IP:$api, $names"
certificate apiserver-client /O=system:masters/CN=kube-apiserver-client clientAuth
certificate admin /O=system:masters/CN=kubernetes-admin clientAuth
certificate kube-controller-manager /CN=system:kube-controller-manager 'serverAuth, clientAuth' "$here"
certificate kube-scheduler /CN=system:kube-scheduler 'serverAuth, clientAuth' "$here"
certificate kubelet "/O=system:nodes/CN=system:node:$node" 'serverAuth, clientAuth' "$here"
certificate kube-proxy /O=system:node-proxier/CN=system:kube-proxy clientAuth
certificate service-account /CN=service-accounts clientAuth
lap certificates

# --- kubeconfigs
kubeconfig() {
  cat >$home/kubeconfigs/"$1".conf <<END
apiVersion: v1
kind: Config
clusters: [{ name: plain, cluster: { server: "https://127.0.0.1:6443", certificate-authority-data: $(base64 -w0 $pki/ca.pem) } }]
users: [{ name: $1, user: { client-certificate-data: $(base64 -w0 $pki/"$1".pem), client-key-data: $(base64 -w0 $pki/"$1"-key.pem) } }]
contexts: [{ name: plain, context: { cluster: plain, user: $1 } }]
current-context: plain
END
}
for identity in admin kube-controller-manager kube-scheduler kubelet kube-proxy; do kubeconfig $identity; done
export KUBECONFIG=$home/kubeconfigs/admin.conf
lap kubeconfigs

# --- etcd
daemon etcd --name="$node" --data-dir=$home/etcd \
  --listen-client-urls=https://127.0.0.1:2379 --advertise-client-urls=https://127.0.0.1:2379 \
  --listen-peer-urls=https://127.0.0.1:2380 --initial-advertise-peer-urls=https://127.0.0.1:2380 \
  --initial-cluster="$node=https://127.0.0.1:2380" \
  --cert-file=$pki/etcd.pem --key-file=$pki/etcd-key.pem --client-cert-auth --trusted-ca-file=$pki/ca.pem \
  --peer-cert-file=$pki/etcd.pem --peer-key-file=$pki/etcd-key.pem --peer-client-cert-auth --peer-trusted-ca-file=$pki/ca.pem
ask_etcd() {
  ask --cacert $pki/ca.pem --cert $pki/apiserver-client.pem --key $pki/apiserver-client-key.pem "https://127.0.0.1:2379/$1" "${@:2}"
}
puts_and_gets() {
  ask_etcd readyz && ask_etcd v3/kv/put -d '{"key":"cGxhaW4=","value":"cGxhaW4="}' &&
    ask_etcd v3/kv/range -d '{"key":"cGxhaW4="}' | grep '"value":"cGxhaW4="' >/dev/null
}
soon etcd puts_and_gets
lap etcd

# --- kube-apiserver
daemon kube-apiserver --etcd-servers=https://127.0.0.1:2379 --etcd-cafile=$pki/ca.pem \
  --etcd-certfile=$pki/apiserver-client.pem --etcd-keyfile=$pki/apiserver-client-key.pem \
  --secure-port=6443 --advertise-address="$address" \
  --tls-cert-file=$pki/apiserver.pem --tls-private-key-file=$pki/apiserver-key.pem --client-ca-file=$pki/ca.pem \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  --service-cluster-ip-range=$services --service-account-issuer=https://kubernetes.default.svc.$domain \
  --service-account-key-file=$pki/service-account.pem --service-account-signing-key-file=$pki/service-account-key.pem \
  --kubelet-certificate-authority=$pki/ca.pem --kubelet-client-certificate=$pki/apiserver-client.pem \
  --kubelet-client-key=$pki/apiserver-client-key.pem --kubelet-preferred-address-types=InternalIP,Hostname
is_ready() { ask_api /readyz && ask_api /api/v1/namespaces/default/services/kubernetes; }
soon kube-apiserver is_ready
lap kube-apiserver

# --- kube-controller-manager
conf=$home/kubeconfigs/kube-controller-manager.conf
daemon kube-controller-manager --kubeconfig=$conf --authentication-kubeconfig=$conf --authorization-kubeconfig=$conf \
  --bind-address=127.0.0.1 --tls-cert-file=$pki/kube-controller-manager.pem \
  --tls-private-key-file=$pki/kube-controller-manager-key.pem --client-ca-file=$pki/ca.pem \
  --cluster-signing-cert-file=$pki/ca.pem --cluster-signing-key-file=$pki/ca-key.pem --root-ca-file=$pki/ca.pem \
  --service-account-private-key-file=$pki/service-account-key.pem --use-service-account-credentials=true \
  --kube-api-qps=200 --kube-api-burst=400 \
  --service-cluster-ip-range=$services --leader-elect=false
controls() { ask --cacert $pki/ca.pem https://127.0.0.1:10257/healthz && ask_api /api/v1/namespaces/default/serviceaccounts/default; }
soon kube-controller-manager controls
lap kube-controller-manager

# --- kube-scheduler
conf=$home/kubeconfigs/kube-scheduler.conf
daemon kube-scheduler --kubeconfig=$conf --authentication-kubeconfig=$conf --authorization-kubeconfig=$conf \
  --bind-address=127.0.0.1 --tls-cert-file=$pki/kube-scheduler.pem --tls-private-key-file=$pki/kube-scheduler-key.pem \
  --client-ca-file=$pki/ca.pem --leader-elect=false
soon kube-scheduler ask --cacert $pki/ca.pem https://127.0.0.1:10259/readyz
lap kube-scheduler

# --- containerd
cat >$home/containerd.toml <<END
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '$pause'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = $restrict_oom_score
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['$plugins']
conf_dir = '/etc/cni/net.d'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = $systemd_cgroups
END
daemon containerd --config=$home/containerd.toml
soon containerd crictl --runtime-endpoint=$containerd --image-endpoint=$containerd version
lap containerd

# --- images
for image in $pause $coredns $agnhost; do
  ctr --namespace=k8s.io images import "$archives/${image//[\/:]/_}.tar" >/dev/null
done
lap images

# --- kubelet
cat >$home/kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: $pki/ca.pem } }
authorization: { mode: Webhook }
readOnlyPort: 0
tlsCertFile: $pki/kubelet.pem
tlsPrivateKeyFile: $pki/kubelet-key.pem
containerRuntimeEndpoint: $containerd
cgroupDriver: $cgroup_driver
failCgroupV1: false
failSwapOn: false
clusterDNS: [$dns]
clusterDomain: $domain
resolvConf: $resolv
nodeStatusUpdateFrequency: 1s
END
daemon kubelet --config=$home/kubelet.yaml --kubeconfig=$home/kubeconfigs/kubelet.conf --hostname-override="$node" --node-ip="$address"
is_registered() { ask http://127.0.0.1:10248/healthz && ask_api "/api/v1/nodes/$node"; }
soon kubelet is_registered
lap kubelet

# --- kube-proxy
cat >$home/kube-proxy.yaml <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: { kubeconfig: $home/kubeconfigs/kube-proxy.conf }
hostnameOverride: $node
mode: iptables
clusterCIDR: $pods
iptables: { minSyncPeriod: 100ms }
$conntrack
END
daemon kube-proxy --config=$home/kube-proxy.yaml
routes() { ask http://127.0.0.1:10256/healthz && iptables -t nat -S KUBE-SERVICES | grep default/kubernetes:https >/dev/null; }
soon kube-proxy routes
lap kube-proxy

# --- network
cat >/etc/cni/net.d/10-bridge.conflist <<END
{ "cniVersion": "1.0.0", "name": "bridge", "plugins": [
  { "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "$pods" }]], "routes": [{ "dst": "0.0.0.0/0" }] } },
  { "type": "portmap", "capabilities": { "portMappings": true } },
  { "type": "firewall" }
] }
END
kubectl wait --for=condition=Ready "node/$node" --timeout=60s >/dev/null
lap network

# --- CoreDNS
# manifest NAME: one of the project's own, filled in.
manifest() {
  sed "s|{{image}}|$2|; s|{{dnsAddress}}|$dns|; s|{{domain}}|$domain|; s|{{forward}}|$forward|; s|{{word}}|$word|" \
    "$project/manifests/$1.yaml"
}
word=$(openssl rand -hex 12)
manifest coredns "$coredns" | kubectl apply -f - >/dev/null
kubectl wait --namespace=kube-system --for=condition=Available deployment/coredns --timeout=60s >/dev/null
lap coredns

# --- smoke test: the same proofs as steps/smoke.ts
manifest smoke "$agnhost" | kubectl apply -f - >/dev/null
ns=hardway-smoke
kubectl wait --namespace=$ns --for=condition=Available deployment/web --timeout=60s >/dev/null
read -r pod other address <<<"$(kubectl get --namespace=$ns pods,services -o \
  jsonpath='{.items[?(@.kind=="Pod")].metadata.name} {.items[?(@.kind=="Service")].spec.clusterIP}')"
is_a_pod() { [ "$1" = "$pod" ] || [ "$1" = "$other" ]; }
node_reaches() { is_a_pod "$(ask "http://$address/hostname")"; }
soon 'HTTP through the ClusterIP from the node' node_reaches
# agnhost asks from inside its Pod: through the Pod's resolv.conf, CoreDNS and the Service.
dial="/api/v1/namespaces/$ns/pods/$pod:8080/proxy/dial?host=web.$ns.svc.$domain&port=80&protocol=http&request=hostname&tries=1"
pod_reaches() { is_a_pod "$(ask_api "$dial" | sed -n 's/.*"responses":\["\([^"]*\)".*/\1/p')"; }
soon 'HTTP by name from a Pod' pod_reaches
kubectl exec --namespace=$ns "$pod" -- /agnhost connect "web.$ns:80" --timeout=2s
kubectl logs --namespace=$ns "$pod" | grep 8080 >/dev/null
[ "$(kubectl get --namespace=$ns secret word -o 'jsonpath={.data.word}' | base64 -d)" = "$word" ]
kubectl delete namespace $ns --wait=false >/dev/null
lap smoke
