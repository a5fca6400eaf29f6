// Striped objects as one store sees them: the parts that lie here, which are hidden objects, and
// the records of those whose names belong here, which say where the parts are (stripe.h).
#include <algorithm>

#include "node/store/store_impl.h"

namespace penstock::node {
namespace {

constexpr size_t inline_attachment_bytes_max = 64 << 10;

}  // namespace

io::Task<Status> StoreImpl::put_stripe_part(uint32_t number, ObjectName part,
                                            const StripeOwner& owner, io::Body body) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    // Its blocks prove the bytes; the object's checksum is taken by who cuts it.
    PutOptions options;
    options.checksum = ChecksumType::none;
    options.counts_versions = false;
    CO_TRY(Content content, co_await take_part(from, std::move(body), options));
    const std::string object(owner.object.object);
    if (owner.upload_part.empty()) {
        content.attributes.custom = {{stripe_object_key, object}};
    } else {
        content.attributes.custom = {{stripe_upload_object_key, object},
                                     {stripe_upload_key, owner.upload_part}};
    }
    const FileId file = content.file->id();
    const Result<ObjectAttributes> committed =
        co_await commit_content(from, part, content, options);
    if (committed) co_return Status();
    // After an error of the device the record may be durable all the same (put()).
    if (committed.error().code != Errc::io_error) co_await drop_file(from, file);
    co_return std::unexpected(committed.error());
}

io::Task<Status> StoreImpl::put_striped(uint32_t number, ObjectName name, StripedContent& striped,
                                        PutOptions& options, Result<ObjectAttributes>& stored) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    CO_TRY_STATUS(check_custom(options.custom));
    Content content;
    content.attributes.custom = options.custom;
    content.attributes.stripes = striped.layouts;
    content.size_bytes = size_of(*striped.layouts);
    content.checksum = striped.checksum;
    Status kept;
    if (striped.attachment.size() <= inline_attachment_bytes_max) {
        content.attributes.attachment = std::move(striped.attachment);
    } else {
        content.file =
            std::make_unique<ObjectFileWriter>(*from.io.disk, *from.io.buffers, new_file_id(from));
        kept = co_await keep_attachment(*content.file, striped.attachment, content.attributes);
        co_await content.file->close();
        if (kept) kept = co_await from.directory.sync();
    }
    if (kept) stored = co_await commit_content(from, name, content, options);
    const Status status = kept && !stored ? Status(fail(stored.error())) : kept;
    const bool is_refused = !status && (!kept || status.error().code != Errc::io_error);
    if (is_refused && content.file != nullptr) co_await drop_file(from, content.file->id());
    co_return status;
}

io::Task<Result<std::shared_ptr<const StripeLayouts>>> StoreImpl::stripes_of(uint32_t number,
                                                                             ObjectName name) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    Place place;
    CO_TRY(const ReadRecord record, co_await read_to_change(from, name, place));
    CO_TRY(Attributes attributes, Reader::attributes_of(record));
    co_return std::move(attributes.stripes);
}

}  // namespace penstock::node
