// FakeService: an object service in memory that behaves as the real one does: versions, conditions,
// checksums, ranges, access bits, the store's listing order, members of TAR shards. For one core.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "node/service/object_service.h"

namespace penstock::node::testing {

class FakeService final : public ObjectService {
public:
    FakeService(io::Reactor& reactor, io::BufferPool& buffers)
        : reactor_(reactor), buffers_(buffers) {}

    // The next call on an object fails with this.
    void fail_next(Errc code) { failure_ = Error{code, "as the test asked"}; }
    // Runs before the next get(), as another client's call would.
    void before_next_get(std::function<void()> act) { before_get_ = std::move(act); }
    void put_now(const BucketName& bucket, const std::string& object, std::string bytes);

    std::shared_ptr<const Bucket> find_bucket(uint32_t core, const BucketName& name) override;
    std::vector<std::shared_ptr<const Bucket>> buckets(uint32_t core) override;
    io::Task<Status> create_bucket(uint32_t core, BucketName name,
                                   BucketProperties properties) override;
    io::Task<Status> destroy_bucket(uint32_t core, BucketName name) override;
    io::Task<Status> set_properties(uint32_t core, BucketName name,
                                    BucketProperties properties) override;
    io::Task<Status> rename_bucket(uint32_t core, BucketName from, BucketName to) override;
    uint64_t metadata_version(uint32_t) override { return metadata_version_; }
    std::string configuration(uint32_t, std::string_view key) override {
        const auto found = configuration_.find(key);
        return found == configuration_.end() ? std::string() : found->second;
    }
    io::Task<Status> set_configuration(uint32_t, SetValues change) override {
        if (change.expected_version != 0 && change.expected_version != metadata_version_) {
            co_return fail(Errc::condition_failed, "the metadata changed meanwhile");
        }
        metadata_version_ += 1;
        for (auto& [key, value] : change.values) {
            if (value.empty()) {
                configuration_.erase(key);
            } else {
                configuration_[key] = std::move(value);
            }
        }
        co_return Status();
    }

    Owner owner_of(const ObjectAddress&) override { return {"fakenode", true}; }
    io::Task<Result<ObjectAttributes>> put(uint32_t core, ObjectAddress address, io::Body body,
                                           PutRequest request) override;
    io::Task<Result<ObjectAttributes>> adopt(uint32_t, ObjectAddress, std::string,
                                             PutRequest) override {
        co_return fail(Errc::not_implemented, "no file system lies under this");
    }
    io::Task<Result<uint64_t>> verify(uint32_t core, ObjectAddress address) override {
        CO_TRY(const ObjectAttributes found, co_await stat(core, address));
        co_return found.size_bytes;
    }
    io::Task<Result<OpenedObject>> get(uint32_t core, ObjectAddress address,
                                       ReadRange range) override;
    // Objects of 128 KiB and more lie in a file of their own.
    io::Task<Result<std::optional<OpenedObject>>> open_file(uint32_t core,
                                                            ObjectAddress address) override;
    // The reverse of the order in which they were put, to be told from any other.
    uint64_t read_order(uint32_t core, ObjectAddress address) override;
    io::Task<Result<ObjectAttributes>> stat(uint32_t core, ObjectAddress address) override;
    io::Task<Result<Version>> remove(uint32_t core, ObjectAddress address,
                                     Condition condition) override;
    io::Task<Result<std::vector<Status>>> remove_many(
        uint32_t core, const BucketName& bucket,
        const std::vector<std::string_view>& names) override;
    io::Task<Result<ObjectAttributes>> copy(uint32_t core, ObjectAddress from, ObjectAddress to,
                                            Condition condition) override;
    io::Task<Status> rename(uint32_t core, ObjectAddress from, std::string_view to) override;
    io::Task<Result<std::string>> begin_upload(uint32_t core, ObjectAddress address,
                                               CustomMetadata custom) override;
    io::Task<Result<PartAttributes>> put_part(uint32_t core, ObjectAddress address,
                                              std::string_view upload, uint32_t number,
                                              io::Body body, PartOptions options) override;
    io::Task<Result<ObjectAttributes>> complete_upload(uint32_t core, ObjectAddress address,
                                                       std::string_view upload,
                                                       CompletionOptions options) override;
    io::Task<Status> abort_upload(uint32_t core, ObjectAddress address,
                                  std::string_view upload) override;
    io::Task<Result<std::vector<PartAttributes>>> parts(uint32_t core, ObjectAddress address,
                                                        std::string_view upload) override;
    io::Task<Result<std::vector<UploadAttributes>>> uploads(uint32_t core,
                                                            const BucketName& bucket) override;
    io::Task<Result<std::string>> append(uint32_t core, ObjectAddress address,
                                         std::string_view handle, io::Body body) override;
    io::Task<Result<ObjectAttributes>> flush(uint32_t core, ObjectAddress address,
                                             std::string_view handle) override;
    io::Task<Result<ObjectAttributes>> set_custom(uint32_t core, ObjectAddress address,
                                                  CustomMetadata custom, bool replaces) override;
    io::Task<Result<ListPage>> list(uint32_t core, const BucketName& bucket,
                                    ListOptions options) override;
    io::Task<Result<ListPage>> list_unchecked(uint32_t core, BucketId bucket,
                                              ListOptions options) override;
    io::Task<Result<OpenedObject>> get_member(uint32_t core, ObjectAddress shard,
                                              std::string_view member, std::string_view format_hint,
                                              ReadRange range) override;
    io::Task<Result<MemberListing>> members(uint32_t core, ObjectAddress shard) override;
    StoreUsage usage() const override;

private:
    struct Object {
        std::string bytes;
        ObjectAttributes attributes;
    };
    using Objects = std::map<std::string, Object, std::less<>>;
    struct Upload {
        std::string object;
        CustomMetadata custom;
        std::map<uint32_t, std::string> parts;
    };
    struct Entry {
        std::shared_ptr<const Bucket> bucket;
        Objects objects;
        std::map<std::string, Upload, std::less<>> uploads;  // and appends, whose parts are from 0
    };

    Result<Entry*> open(const BucketName& name, uint64_t access);
    Result<Upload*> find_upload(Entry& entry, std::string_view object, std::string_view upload);
    Result<Object*> find(const ObjectAddress& address, uint64_t access);
    Status check(const Objects& objects, std::string_view name, const Condition& condition) const;
    ObjectAttributes store(Entry& entry, std::string_view name, std::string bytes,
                           CustomMetadata custom);
    OpenedObject opened(const ObjectAttributes& attributes, std::string_view bytes,
                        ReadRange range);
    std::optional<Error> take_failure() { return std::exchange(failure_, std::nullopt); }

    io::Reactor& reactor_;
    io::BufferPool& buffers_;
    std::map<BucketName, Entry> entries_;
    std::optional<Error> failure_;
    std::function<void()> before_get_;
    uint64_t metadata_version_ = 1;
    std::map<std::string, std::string, std::less<>> configuration_;
    uint64_t sequence_ = 0;
    uint64_t bucket_number_ = 0;
};

}  // namespace penstock::node::testing
