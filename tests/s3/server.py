"""A real S3 for tests: moto, which verifies signatures as S3 does.

Says `listening on URL KEY_ID:SECRET` when a bucket `handbook` stands, and ends with its
standard input. What is to be put there is read from it: a JSON object a line, `{"key": "text"}`,
or null to remove; each is answered by a line.
"""

import json
import logging
import os
import sys

# What is done before anybody has to be somebody: the user, its key, its right, the bucket.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"

try:
    import boto3
    from moto.server import ThreadedMotoServer
except ImportError as error:
    sys.exit(f"moto is not there: {error}")

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"


def client(service, key, secret):
    return boto3.client(
        service, endpoint_url=url, region_name="eu-test-1", aws_access_key_id=key, aws_secret_access_key=secret
    )


iam = client("iam", "nobody", "yet")
iam.create_user(UserName="bedplate")
made = iam.create_access_key(UserName="bedplate")["AccessKey"]
key, secret = made["AccessKeyId"], made["SecretAccessKey"]
policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}]}
iam.put_user_policy(UserName="bedplate", PolicyName="all", PolicyDocument=json.dumps(policy))
client("s3", "nobody", "yet").create_bucket(
    Bucket="handbook", CreateBucketConfiguration={"LocationConstraint": "eu-test-1"}
)
s3 = client("s3", key, secret)
print(f"listening on {url} {key}:{secret}", flush=True)
for line in sys.stdin:
    for name, text in json.loads(line).items():
        if text is None:
            s3.delete_object(Bucket="handbook", Key=name)
        else:
            s3.put_object(Bucket="handbook", Key=name, Body=text.encode())
    print("done", flush=True)
server.stop()
