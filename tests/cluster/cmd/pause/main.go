// pause holds namespaces open until it is told to stop: a pod's, and, as the
// first process, those of a whole local cluster. It takes no notice of its
// arguments: they are there to be read in a process list.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Orphans come to the first process of a PID namespace; ignoring SIGCHLD has the kernel reap them.
	signal.Ignore(syscall.SIGCHLD)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
