#include "node/doors/router.h"

namespace penstock::node {
namespace {

using io::http::BodyKind;
using io::http::Request;
using io::http::Response;

// Counts the bytes of a body whose length is not known beforehand.
class CountingSource final : public io::Source {
public:
    CountingSource(io::Source& inner, uint64_t& count) : inner_(inner), count_(count) {}
    io::Task<Result<io::Chunk>> next() override {
        CO_TRY(io::Chunk chunk, co_await inner_.next());
        count_ += chunk.size;
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return inner_.remaining_bytes(); }

private:
    io::Source& inner_;
    uint64_t& count_;
};

uint64_t body_bytes(const Response& response) {
    if (response.length_only) return 0;
    return response.body.size_bytes().value_or(0);
}

}  // namespace

Router::Router(std::vector<Admission*> admissions) {
    for (Admission* admission : admissions) {
        cores_.push_back(std::make_unique<Core>());
        cores_.back()->admission = admission;
    }
}

void Router::attach(AisDoor& ais, AdminDoor& admin) {
    ais_ = &ais;
    admin_ = &admin;
}

io::Task<Response> Router::handle(Request& request) {
    const uint32_t core = request.reactor.core();
    Core& own = *cores_[core];
    const uint64_t began_ns = request.reactor.now_ns();
    RequestOutcome outcome;
    if (AdminDoor::is_for(request.head.path)) {
        outcome.door = Door::admin;
        outcome.operation = Operation::admin;
        Response response = co_await admin_->handle(core, request, own.is_draining);
        outcome.status = response.head.status();
        outcome.sent_bytes = body_bytes(response);
        outcome.duration_ns = request.reactor.clock().monotonic_ns() - began_ns;
        own.metrics.record(outcome);
        co_return response;
    }
    outcome.operation = operation_of(request.head);
    const Admission::Ticket ticket =
        own.admission->admit(work_class_of(outcome.operation), request.buffers.outstanding_bytes());
    if (!ticket) {
        Response response = ais_->refuse_overload(request);
        outcome.status = response.head.status();
        own.metrics.record(outcome);
        co_return response;
    }
    outcome.received_bytes = request.head.content_length;
    io::Body counted;
    if (request.head.body_kind == BodyKind::chunked && request.body.is_source()) {
        outcome.received_bytes = 0;
        counted = io::Body(
            std::make_unique<CountingSource>(request.body.source(), outcome.received_bytes));
    }
    const bool is_counted = counted.is_source();
    Request passed{request.head,    is_counted ? counted : request.body,
                   request.buffers, request.reactor,
                   request.peer,    request.is_tls};
    Response response = co_await ais_->handle(core, passed);
    outcome.status = response.head.status();
    outcome.sent_bytes = body_bytes(response);
    outcome.duration_ns = request.reactor.clock().monotonic_ns() - began_ns;
    own.metrics.record(outcome);
    co_return response;
}

Response Router::refuse(io::BufferPool& buffers, const io::http::HeadError& error) {
    return ais_->refuse(buffers, error);
}

}  // namespace penstock::node
