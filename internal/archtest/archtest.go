// Package archtest holds the arrows of the tree: who may import whom, which
// package names are not used, and which modules are allowed in. It parses the
// sources itself, with no subprocess, so that the test cache notices a change. It is
// imported by nobody; everything happens in its tests.
package archtest
