// Package egress turns a network policy into what enforces it: a network
// namespace a job with a veth pair, and nftables rules outside of it. One model serves
// every runtime. It must not know jobs or runtimes.
package egress
