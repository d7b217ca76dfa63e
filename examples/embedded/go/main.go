// A gateway that is one native program: Go serves HTTP, and JavaScript inside it (gateway.js, run by Goja) decides what to
// answer.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/dop251/goja"
)

const (
	program        = "embedded-go"
	version        = "0.1.0"
	maxBodyBytes   = 1 << 20
	closeGrace     = 2 * time.Second
	headersTimeout = 10 * time.Second
)

//go:embed gateway.js
var script string

// answer is what gateway.js returns for a request.
type answer struct {
	Status int
	Type   string
	Body   string
}

// gateway is gateway.js, loaded. A Goja runtime is for one goroutine at a time.
type gateway struct {
	lock   sync.Mutex
	engine *goja.Runtime
	handle goja.Callable
}

func load() (*gateway, error) {
	engine := goja.New()
	if _, err := engine.RunString(script); err != nil {
		return nil, fmt.Errorf("cannot load gateway.js: %w", err)
	}
	handle, ok := goja.AssertFunction(engine.Get("handle"))
	if !ok {
		return nil, errors.New("gateway.js has no function `handle`")
	}
	return &gateway{engine: engine, handle: handle}, nil
}

// ask runs the script's handle and reads what it returned.
func (g *gateway) ask(method, path, body string) (answer, error) {
	g.lock.Lock()
	defer g.lock.Unlock()
	request := map[string]interface{}{"method": method, "path": path, "body": body}
	host := map[string]interface{}{"version": version}
	value, err := g.handle(goja.Undefined(), g.engine.ToValue(request), g.engine.ToValue(host))
	if err != nil {
		return answer{}, err
	}
	object := value.ToObject(g.engine)
	return answer{
		Status: int(object.Get("status").ToInteger()),
		Type:   object.Get("type").String(),
		Body:   object.Get("body").String(),
	}, nil
}

func (g *gateway) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(response, request.Body, maxBodyBytes))
	if err != nil {
		http.Error(response, "the body is too long", http.StatusRequestEntityTooLarge)
		return
	}
	answer, err := g.ask(request.Method, request.URL.Path, string(body))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		http.Error(response, "the script failed", http.StatusInternalServerError)
		return
	}
	response.Header().Set("Content-Type", answer.Type)
	response.WriteHeader(answer.Status)
	_, _ = io.WriteString(response, answer.Body)
}

// serve listens until the process is told to stop.
func serve(host, port string) error {
	gateway, err := load()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: gateway, ReadHeaderTimeout: headersTimeout}
	closed := make(chan error, 1)
	go func() {
		<-stopped.Done()
		grace, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		closed <- server.Shutdown(grace)
	}()
	fmt.Printf("listening on http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-closed
}

func main() {
	host := flag.String("host", "127.0.0.1", "the address to listen on")
	port := flag.String("port", "8788", "the TCP port; 0 lets the system choose")
	showVersion := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return
	}
	if err := serve(*host, *port); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		os.Exit(1)
	}
}
