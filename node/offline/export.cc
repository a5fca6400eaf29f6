// Export: the objects of a directory as one TAR. Small objects of a page are read at once and
// written in the order of their names; a large one is streamed.
#include <algorithm>

#include "archive/tar_reader.h"
#include "archive/tar_writer.h"
#include "io/base/units.h"
#include "node/offline/entry_text.h"
#include "node/offline/session.h"

namespace penstock::node {
namespace {

constexpr uint64_t small_bytes_max = 1_MiB;
// Of content in one batch, and in one write.
constexpr uint64_t batch_bytes_max = 8_MiB;
constexpr size_t batch_objects_max = 256;
constexpr std::string_view bucket_prefix = ".penstock/bucket/";

// One object of a batch, and what became of it.
struct Fetched {
    std::string object;
    uint64_t listed_bytes = 0;
    ObjectAttributes attributes;
    std::vector<std::byte> content;
    std::unique_ptr<io::Source> stream;  // of a large one
    Status status;
};

class Export {
public:
    Export(Session& session, const OfflineWrite& write, const ExportPosition& from)
        : session_(session), write_(write), from_(from) {}

    io::Task<Status> run() {
        WalkFrom from;
        if (!from_.bucket.empty()) {
            std::optional<EntryText> parsed = parse_entry_text(from_.bucket);
            if (!parsed) co_return fail(Errc::invalid, "not a position of an export");
            from = {parsed->bucket, from_.object};
            begun_ = parsed->bucket;
        }
        for (const auto& bucket : session_.service().buckets(Session::core)) {
            if (bucket->name <= begun_) continue;
            // An empty bucket comes, too: each is named before the walk gets to its objects.
            pending_.push_back(bucket);
        }
        CO_TRY_STATUS(co_await walk_objects(
            session_, from, [this](const std::shared_ptr<const Bucket>& bucket, ListPage page) {
                return visit(bucket, std::move(page));
            }));
        CO_TRY_STATUS(co_await name_buckets(nullptr));
        out_.resize(out_.size() + archive::tar_end_bytes);
        co_return co_await flush();
    }

private:
    io::Task<Status> visit(std::shared_ptr<const Bucket> bucket, ListPage page) {
        CO_TRY_STATUS(co_await name_buckets(bucket.get()));
        std::vector<Fetched> batch;
        uint64_t bytes = 0;
        for (const ListPage::Entry& entry : page.entries) {
            Fetched& fetched = batch.emplace_back();
            fetched.object = page.name(entry);
            fetched.listed_bytes = entry.size_bytes;
            bytes += std::min(entry.size_bytes, small_bytes_max);
            if (bytes < batch_bytes_max && batch.size() < batch_objects_max) continue;
            CO_TRY_STATUS(co_await put_out(*bucket, batch));
            batch.clear();
            bytes = 0;
        }
        co_return co_await put_out(*bucket, batch);
    }

    // Entries for the buckets up to this one; null: for all that are left.
    io::Task<Status> name_buckets(const Bucket* until) {
        while (!pending_.empty() && (until == nullptr || pending_.front()->name <= until->name)) {
            EntryText text;
            text.bucket = pending_.front()->name;
            text.properties = pending_.front()->properties;
            append_header(std::string(bucket_prefix) + bucket_path(text.bucket), 0, 0,
                          format_entry_text(text));
            pending_.erase(pending_.begin());
        }
        co_return Status();
    }

    io::Task<Status> put_out(const Bucket& bucket, std::vector<Fetched>& batch) {
        Flights flights(session_.reactor(), session_.in_flight_max(), batch_bytes_max);
        for (Fetched& fetched : batch) {
            const uint64_t bytes = std::min(fetched.listed_bytes, small_bytes_max);
            co_await flights.take_off(bytes);
            io::start_detached(fetch(bucket, fetched, flights, bytes));
        }
        co_await flights.settle();
        for (Fetched& fetched : batch) {
            if (!fetched.status) {
                if (!is_about_one(fetched.status.error().code)) co_return fetched.status;
                session_.problem(bucket_path(bucket.name) + "/" + fetched.object,
                                 fetched.status.error().context);
                continue;
            }
            CO_TRY_STATUS(co_await append(bucket, fetched));
        }
        co_return co_await flush();
    }

    io::Task<void> fetch(const Bucket& bucket, Fetched& fetched, Flights& flights, uint64_t bytes) {
        const ObjectName name{bucket.id, {}, fetched.object};
        // Once a large one's header is out, nothing but its bytes can follow: damage is found
        // before.
        if (fetched.listed_bytes > small_bytes_max) {
            const Result<uint64_t> checked = co_await session_.store().verify(Session::core, name);
            if (!checked) {
                fetched.status = fail(checked.error());
                flights.land(bytes);
                co_return;
            }
        }
        Result<OpenedObject> opened = co_await session_.store().get(Session::core, name, {});
        if (opened) {
            fetched.attributes = std::move(opened->attributes);
            fetched.stream = opened->body.into_source(session_.reactor(), session_.buffers());
            if (fetched.attributes.size_bytes <= small_bytes_max) {
                fetched.status = co_await read_whole(fetched);
            }
        } else {
            fetched.status = fail(opened.error());
        }
        flights.land(bytes);
    }

    static io::Task<Status> read_whole(Fetched& fetched) {
        for (;;) {
            CO_TRY(const io::Chunk chunk, co_await fetched.stream->next());
            if (chunk.is_empty()) break;
            fetched.content.insert(fetched.content.end(), chunk.bytes().begin(),
                                   chunk.bytes().end());
        }
        fetched.stream.reset();
        co_return Status();
    }

    io::Task<Status> append(const Bucket& bucket, Fetched& fetched) {
        const ObjectAttributes& attributes = fetched.attributes;
        EntryText text;
        text.bucket = bucket.name;
        text.object = fetched.object;
        text.version = attributes.version;
        text.display_version = attributes.display_version;
        text.modified_ns = attributes.modified_ns;
        text.checksum = attributes.checksum;
        text.custom = attributes.custom;
        append_header(bucket_path(bucket.name) + "/" + fetched.object, attributes.size_bytes,
                      attributes.modified_ns / ns_per_s, format_entry_text(text));
        if (fetched.stream != nullptr) {
            CO_TRY_STATUS(co_await append_stream(bucket, fetched));
        } else {
            out_.insert(out_.end(), fetched.content.begin(), fetched.content.end());
        }
        out_.resize(out_.size() + archive::tar_padding_bytes(attributes.size_bytes));
        session_.done(attributes.size_bytes);
        co_return Status();
    }

    // Damage in the middle leaves an entry that is short: the stream ends there, as an error.
    io::Task<Status> append_stream(const Bucket& bucket, Fetched& fetched) {
        for (;;) {
            const Result<io::Chunk> chunk = co_await fetched.stream->next();
            if (!chunk) {
                co_return fail(chunk.error().code, bucket_path(bucket.name) + "/" + fetched.object +
                                                       ": " + chunk.error().context);
            }
            if (chunk->is_empty()) co_return Status();
            out_.insert(out_.end(), chunk->bytes().begin(), chunk->bytes().end());
            if (out_.size() >= batch_bytes_max) CO_TRY_STATUS(co_await flush());
        }
    }

    void append_header(const std::string& name, uint64_t size, uint64_t modified_s,
                       const std::string& comment) {
        const archive::TarEntry entry{name, size, modified_s, comment};
        const size_t begin = out_.size();
        out_.resize(begin + archive::tar_header_bytes(entry));
        const MutableBytes left = archive::put_tar_header(MutableBytes(out_).subspan(begin), entry);
        ASSERT(left.empty());
    }

    io::Task<Status> flush() {
        CO_TRY_STATUS(co_await session_.pool().run(session_.reactor(),
                                                   [this] { return write_(Bytes(out_)); }));
        out_.clear();
        co_return Status();
    }

    Session& session_;
    const OfflineWrite& write_;
    const ExportPosition& from_;
    BucketName begun_{"", "", "", ""};  // named in the stream already, and all before it
    std::vector<std::shared_ptr<const Bucket>> pending_;
    std::vector<std::byte> out_;
};

}  // namespace
}  // namespace penstock::node

namespace penstock {

Result<OfflineSummary> export_objects(const OfflineOptions& options, const ExportPosition& from,
                                      const OfflineWrite& write) {
    TRY(const std::unique_ptr<node::Session> session, node::Session::open(options, true));
    node::Export job(*session, write, from);
    return session->run([&job] { return job.run(); });
}

// The last entry that is whole counts; what lies behind it is written anew.
Result<ExportPosition> find_export_position(const OfflineRead& read) {
    archive::TarReader reader(read);
    ExportPosition position;
    for (;;) {
        const Result<std::optional<archive::TarItem>> item = reader.next();
        if (!item) {
            if (item.error().code == Errc::corrupt) return position;
            return fail(item.error());
        }
        // Getting to this entry, or to the end mark, has passed over the one before.
        if (!*item) return position;
        const std::optional<node::EntryText> text = node::parse_entry_text((*item)->comment);
        if (!text) return fail(Errc::invalid, "this is not the beginning of an export");
        std::vector<std::byte> content(1 << 20);
        uint64_t left = (*item)->size;
        while (left > 0) {
            const Result<size_t> count = reader.read(content);
            if (!count || *count == 0) return position;
            left -= *count;
        }
        position.stream_bytes = reader.entry_end();
        position.bucket = node::format_entry_text({.bucket = text->bucket});
        position.object = text->object.value_or("");
    }
}

}  // namespace penstock
