"""Amazon Kinesis as a source of streams: ``consume_stream --source kinesis``."""
