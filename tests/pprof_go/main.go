// Takes Go's own profiles of a little work, for tests that read them: main DIRECTORY.
package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

type tree struct{ left, right *tree }

var kept [][]byte

func grow(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{grow(depth - 1), grow(depth - 1)}
}

func (t *tree) size() int {
	if t.left == nil {
		return 1
	}
	return t.left.size() + t.right.size() + 1
}

func spin(until time.Time) (n int) {
	for time.Now().Before(until) {
		n += grow(12).size()
	}
	return n
}

func keep() {
	for i := 0; i < 200; i++ {
		kept = append(kept, make([]byte, 64<<10))
	}
}

func contend() {
	var lock sync.Mutex
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for k := 0; k < 20; k++ {
				lock.Lock()
				time.Sleep(time.Millisecond)
				lock.Unlock()
			}
		}()
	}
	group.Wait()
}

func write(directory, name string) {
	file, err := os.Create(filepath.Join(directory, "go_"+name+".pb.gz"))
	if err == nil {
		err = pprof.Lookup(name).WriteTo(file, 0)
	}
	if err != nil {
		panic(err)
	}
	file.Close()
}

func main() {
	directory := os.Args[1]
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	runtime.MemProfileRate = 4096
	cpu, err := os.Create(filepath.Join(directory, "go_cpu.pb.gz"))
	if err != nil {
		panic(err)
	}
	pprof.StartCPUProfile(cpu)
	for _, who := range []string{"first", "second"} {
		labels := pprof.Labels("request", who, "kind", "test")
		pprof.Do(context.Background(), labels, func(context.Context) {
			spin(time.Now().Add(300 * time.Millisecond))
		})
	}
	pprof.StopCPUProfile()
	cpu.Close()
	keep()
	contend()
	for _, name := range []string{"heap", "mutex", "block", "goroutine", "threadcreate"} {
		write(directory, name)
	}
}
