package egress

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// expressions are a part of a rule; register 1 carries values between them.
type expressions []expr.Any

func iifname() expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(Prefix)}}
}

func oifname(op expr.CmpOp) expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte(Prefix)}}
}

// established matches packets of connections that were let through before.
func established() expressions {
	mask := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return expressions{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// forged matches packets whose source address is not routed back the way they came.
func forged() expressions {
	return expressions{
		&expr.Fib{Register: 1, FlagSADDR: true, FlagIIF: true, ResultOIF: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)},
	}
}

func destination(family byte) expressions   { return address(family, 16, 24) }
func sourceAddress(family byte) expressions { return address(family, 12, 8) }

// address loads an address of the IP header, found at one of two offsets.
func address(family byte, offset4, offset6 uint32) expressions {
	offset, length := offset4, uint32(4)
	if family == unix.NFPROTO_IPV6 {
		offset, length = offset6, 16
	}
	return expressions{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
	}
}

func lookup(set *nftables.Set) expressions {
	return expressions{&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID}}
}

func l4proto(proto byte) expressions {
	return append(expressions{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}}, equal([]byte{proto})...)
}

func transport(offset, length uint32) expressions {
	return expressions{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: length}}
}

func equal(data []byte) expressions {
	return expressions{&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data}}
}

func verdict(kind expr.VerdictKind) expressions { return expressions{&expr.Verdict{Kind: kind}} }

func jump(chain string) expressions {
	return expressions{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

// reset ends TCP connections at once; refuse answers the rest, whichever family, with
// "administratively prohibited". Resets come first: the kernel sends few ICMP messages a second.
func reset() expressions {
	return append(l4proto(unix.IPPROTO_TCP), &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
}

func refuse() expressions {
	return expressions{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
}
