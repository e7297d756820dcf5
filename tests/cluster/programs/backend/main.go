// Command backend is the gRPC server that the tests' pods run: the methods of tests/e2e/backend.py that such tests need,
// under the same names, and a few of its own. Messages are raw bytes; every answer names the pod in its trailers.
//
//	name             the pod's name, whatever the request
//	unary            the request
//	slow "30"        the request, after 30 ms
//	fail [14, "no"]  fails with that code and message
//	expand [n, size] n messages of that size, each beginning with its number
//	ticks [n, ms]    n messages, the pod's name, with so many milliseconds before each
//	chat             each message of the stream, as it comes
//
// The environment sets PORT (8080), POD_NAME (the host's name), DELAY_MS (0, added to each call) and STOP_DELAY_MS (0):
// after SIGTERM new calls are still served for so long, since clients learn late of a pod's end; then come GOAWAY and the
// end of open calls. `backend pause` only waits for SIGTERM: the image of pod sandboxes.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// rawCodec passes bytes through, and leaves messages (of the health service) to the codec for protobuf.
type rawCodec struct{ encoding.CodecV2 }

func (codec rawCodec) Marshal(value any) (mem.BufferSlice, error) {
	if raw, ok := value.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(raw)}, nil
	}
	return codec.CodecV2.Marshal(value)
}

func (codec rawCodec) Unmarshal(data mem.BufferSlice, value any) error {
	if raw, ok := value.(*[]byte); ok {
		*raw = data.Materialize()
		return nil
	}
	return codec.CodecV2.Unmarshal(data, value)
}

type backend struct {
	name  string
	delay time.Duration
}

// begin waits as long as every call shall take, and names the pod in the trailers.
func (backend *backend) begin(ctx context.Context, setTrailer func(metadata.MD)) error {
	setTrailer(metadata.Pairs("backend", backend.name))
	return wait(ctx, backend.delay)
}

func wait(ctx context.Context, duration time.Duration) error {
	if duration <= 0 {
		return nil
	}
	select {
	case <-time.After(duration):
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func milliseconds(count int) time.Duration { return time.Duration(count) * time.Millisecond }

func (backend *backend) answerName(context.Context, []byte) ([]byte, error) {
	return []byte(backend.name), nil
}

func answerUnary(_ context.Context, request []byte) ([]byte, error) { return request, nil }

func answerSlow(ctx context.Context, request []byte) ([]byte, error) {
	count, err := strconv.Atoi(string(request))
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return request, wait(ctx, milliseconds(count))
}

func answerFail(_ context.Context, request []byte) ([]byte, error) {
	var code uint32
	var message string
	if err := json.Unmarshal(request, &[]any{&code, &message}); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return nil, status.Error(codes.Code(code), message)
}

// readPair reads the request of a stream: two numbers.
func readPair(stream grpc.ServerStream) (first, second int, err error) {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return 0, 0, err
	}
	if err := json.Unmarshal(request, &[]any{&first, &second}); err != nil {
		return 0, 0, status.Error(codes.InvalidArgument, err.Error())
	}
	return first, second, nil
}

func (backend *backend) expand(stream grpc.ServerStream) error {
	count, size, err := readPair(stream)
	if err != nil {
		return err
	}
	for number := range count {
		message := make([]byte, max(size, 8))
		copy(message, fmt.Sprintf("%08d", number))
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
	return nil
}

func (backend *backend) ticks(stream grpc.ServerStream) error {
	count, pause, err := readPair(stream)
	if err != nil {
		return err
	}
	for range count {
		if err := wait(stream.Context(), milliseconds(pause)); err != nil {
			return err
		}
		if err := stream.SendMsg([]byte(backend.name)); err != nil {
			return err
		}
	}
	return nil
}

func (backend *backend) chat(stream grpc.ServerStream) error {
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
}

func (backend *backend) unary(name string, answer func(context.Context, []byte) ([]byte, error)) grpc.MethodDesc {
	handler := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var request []byte
		if err := decode(&request); err != nil {
			return nil, err
		}
		if err := backend.begin(ctx, func(trailer metadata.MD) { _ = grpc.SetTrailer(ctx, trailer) }); err != nil {
			return nil, err
		}
		return answer(ctx, request)
	}
	return grpc.MethodDesc{MethodName: name, Handler: handler}
}

func (backend *backend) stream(name string, serve func(grpc.ServerStream) error) grpc.StreamDesc {
	handler := func(_ any, stream grpc.ServerStream) error {
		if err := backend.begin(stream.Context(), stream.SetTrailer); err != nil {
			return err
		}
		return serve(stream)
	}
	return grpc.StreamDesc{StreamName: name, Handler: handler, ServerStreams: true, ClientStreams: true}
}

func (backend *backend) describe() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "e2e.Echo",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			backend.unary("name", backend.answerName),
			backend.unary("unary", answerUnary),
			backend.unary("slow", answerSlow),
			backend.unary("fail", answerFail),
		},
		Streams: []grpc.StreamDesc{
			backend.stream("expand", backend.expand),
			backend.stream("ticks", backend.ticks),
			backend.stream("chat", backend.chat),
		},
	}
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func readMilliseconds(name string) time.Duration {
	count, err := strconv.Atoi(setting(name, "0"))
	if err != nil {
		log.Fatalf("%s is not a number of milliseconds: %v", name, err)
	}
	return milliseconds(count)
}

func serve(stop <-chan os.Signal) {
	host, _ := os.Hostname()
	serving := &backend{name: setting("POD_NAME", host), delay: readMilliseconds("DELAY_MS")}
	stopDelay := readMilliseconds("STOP_DELAY_MS")
	listener, err := net.Listen("tcp", ":"+setting("PORT", "8080"))
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{encoding.GetCodecV2("proto")}))
	server.RegisterService(serving.describe(), serving)
	healthpb.RegisterHealthServer(server, health.NewServer())
	go func() {
		<-stop
		time.Sleep(stopDelay)
		server.GracefulStop()
	}()
	log.Printf("%s serves on %s", serving.name, listener.Addr())
	if err := server.Serve(listener); err != nil { // returns when GracefulStop does
		log.Fatal(err)
	}
}

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if len(os.Args) > 1 && os.Args[1] == "pause" {
		<-stop
		return
	}
	serve(stop)
}
