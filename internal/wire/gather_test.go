package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// What is written comes as it was written, in fewer pieces, and before the end.
func TestGatherKeepsTheOrder(t *testing.T) {
	here, there := net.Pipe()
	g := newGather(here)
	g.begin(time.Minute)
	var want []byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 1000 {
			p := bytes.Repeat([]byte{byte(n)}, 1+n%700)
			want = append(want, p...)
			if n, err := g.Write(p); n != len(p) || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	var got []byte
	reads := 0
	for buf := make([]byte, 1<<20); ; reads++ {
		n, err := there.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
	}
	<-done
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, or others", len(got), len(want))
	}
	if reads > 900 {
		t.Errorf("%d pieces", reads)
	}
	if _, err := g.Write([]byte("x")); err == nil {
		t.Error("written after the end")
	}
}

// Before it is told to, it is the connection as it is, deadlines included.
func TestGatherBefore(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	g := newGather(here)
	defer g.Close()
	if err := g.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// Whoever takes nothing loses the connection, however much waits and whoever waits for it;
// who takes a little now and then does not.
func TestGatherOfOneWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		g := newGather(here)
		g.begin(time.Minute)
		began := time.Now()
		slow := make(chan struct{})
		go func() { // a byte every half minute, ten times
			defer close(slow)
			for range 10 {
				time.Sleep(30 * time.Second)
				if _, err := there.Read(make([]byte, 1)); err != nil {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			}
		}()
		var err error
		for err == nil {
			_, err = g.Write(make([]byte, 10<<10))
		}
		if took := time.Since(began); took < 5*time.Minute || took > 7*time.Minute {
			t.Errorf("%v after %v", err, took)
		}
		<-slow
		if _, err := here.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is open")
		}
	})
}

// A close does not wait for ever for what was written before it.
func TestGatherCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		g := newGather(here)
		g.begin(time.Hour)
		if _, err := g.Write([]byte("never read")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(gatherLast + time.Second)
		synctest.Wait()
		if _, err := g.Write([]byte("x")); err == nil {
			t.Error("open")
		}
		if _, err := here.Write([]byte("x")); err == nil {
			t.Error("the line is open")
		}
	})
}
