/** Whether an address is safe from eyes and hands on the way: https, or plain http on this machine. */
export const isTrustworthy = (address: string): boolean => {
  const url = URL.parse(address);
  const loopback = url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
  return url?.protocol === 'https:' || loopback;
};
