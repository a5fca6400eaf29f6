// What the tests of connections serve.
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/base/units.h"
#include "io/http/connection.h"

namespace penstock::io::http {

// Answers with what it was asked: "METHOD PATH BODY". Some paths are special: "/ignore" leaves the
// body alone, "/stream" answers without a length, "/early" promises more than it has, "/204" and
// "/304" answer so, "/wait" after a second, "/chunk" with a chunk of 1 MiB, "/source" with chunks
// of 1 MiB, "/file" with 1 MiB of `file`.
class Mirror final : public Handler {
public:
    Task<Response> handle(Request& request) override {
        Response response;
        std::string text(request.head.method_text);
        text.append(" ").append(request.head.path).append(" ");
        if (request.head.path == "/204") response.head.set_status(204);
        if (request.head.path == "/304") response.head.set_status(304);
        if (request.head.path == "/wait") {
            co_await request.reactor.sleep(request.reactor.within_ns(ns_per_s));
        }
        if (request.head.path == "/file") {
            response.body = Body(FileRange{file, 0, large_bytes, nullptr});
            co_return response;
        }
        if (request.head.path == "/chunk") {
            response.body = Body(large_chunk(request.buffers));
            co_return response;
        }
        if (request.head.path == "/source") {
            response.body = Body(std::make_unique<LargeChunks>(request.buffers));
            co_return response;
        }
        if (request.head.path == "/stream" || request.head.path == "/early") {
            response.body =
                Body(std::make_unique<Counting>(request.buffers, request.head.path == "/early"));
            co_return response;
        }
        if (request.head.path != "/ignore") {
            Result<Chunk> content =
                co_await request.body.read_all(request.reactor, request.buffers, 4 << 20);
            if (!content) {
                failures.push_back(content.error().code);
                response.head.set_status(400);
                response.closes = true;
                co_return response;
            }
            text.append(as_text(content->bytes()));
        }
        response.body = Body::copy_of(request.buffers, as_bytes(text));
        co_return response;
    }

    Response refuse(BufferPool& buffers, const HeadError& error) override {
        Response response;
        response.head.set_status(error.status);
        response.body = Body::copy_of(buffers, as_bytes(error.reason));
        return response;
    }

    static constexpr uint32_t large_bytes = 1 << 20;
    std::vector<Errc> failures;
    int file = -1;

private:
    static Chunk large_chunk(BufferPool& pool) {
        Chunk chunk{pool.take(large_bytes), 0, large_bytes};
        std::memset(chunk.buffer.data(), 'x', large_bytes);
        return chunk;
    }
    class LargeChunks final : public Source {
    public:
        explicit LargeChunks(BufferPool& pool) : pool_(pool) {}
        Task<Result<Chunk>> next() override {
            if (rest_ == 0) co_return Chunk();
            rest_ -= large_bytes;
            co_return large_chunk(pool_);
        }
        std::optional<uint64_t> remaining_bytes() const override { return rest_; }

    private:
        BufferPool& pool_;
        uint64_t rest_ = 2 * large_bytes;
    };
    class Counting final : public Source {
    public:
        Counting(BufferPool& pool, bool promises) : pool_(pool), promises_(promises) {}
        Task<Result<Chunk>> next() override {
            if (++count_ > 3) co_return Chunk();
            Chunk chunk{pool_.take(2), 0, 2};
            chunk.buffer.data()[0] = std::byte('0' + count_);
            chunk.buffer.data()[1] = std::byte(',');
            co_return chunk;
        }
        std::optional<uint64_t> remaining_bytes() const override {
            if (promises_) return 100;
            return std::nullopt;
        }

    private:
        BufferPool& pool_;
        bool promises_;
        int count_ = 0;
    };
};

}  // namespace penstock::io::http
