"""The sources of batches: folders, buckets, Kafka and Kinesis."""
