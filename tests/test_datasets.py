"""The real collection, read and fetched, and the synthetic one."""

import gc
import hashlib
import http.server
import io
import os
import re
import socket
import sys
import tempfile
import threading
import zipfile
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

import skvae.datasets
from skvae.datasets import SMS_SPAM_SHA256, fetch_sms_spam, make_messages

COLLECTION = "ham\tsee you later\nspam\tWIN £100 now!\nham\tok\n".encode()


def zipped(content, name="SMSSpamCollection"):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("readme", "about the collection")
        opened.writestr(name, content)
    return archive.getvalue()


class Site:
    """A web server on this machine that gives one answer to everything and counts requests."""

    def __init__(self):
        self.body = zipped(COLLECTION)
        self.status = 200
        self.promised_length = None
        self.release = None
        self.requests = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.requests.append(self.path)
                if site.release is not None:
                    site.release.wait(10)
                    return
                self.send_response(site.status)
                length = site.promised_length or len(site.body)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(site.body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/archive.zip"

    def close(self):
        if self.release is not None:
            self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site(monkeypatch):
    pytest.importorskip("pooch")
    site = Site()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(skvae.datasets, "SMS_SPAM_URL", site.url)
    monkeypatch.setattr(skvae.datasets, "SMS_SPAM_SHA256", hashlib.sha256(COLLECTION).hexdigest())
    yield site
    site.close()
    gc.collect()  # makes a connection that was left open warn here


def left_behind(data_home):
    """Everything under a cache folder but the empty folder of the collection."""
    return [path for path in data_home.rglob("*") if path != data_home / "sms_spam"]


def check_refused_then_recovers(site, data_home, match):
    """The fetch fails without a trace, and the next one, of a sound archive, succeeds."""
    with pytest.raises(OSError, match=match) as failure:
        fetch_sms_spam(data_home=data_home)
    assert "fetch_sms_spam" in str(failure.value)
    assert left_behind(data_home) == []
    site.body, site.status, site.promised_length = zipped(COLLECTION), 200, None
    assert fetch_sms_spam(data_home=data_home).data == ["see you later", "WIN £100 now!", "ok"]


# -- from a file ----------------------------------------------------------------------------------


def write(folder, content):
    file = folder / "messages"
    file.write_bytes(content)
    return file


def test_path_gives_messages_labels_and_a_description(tmp_path):
    dataset = fetch_sms_spam(path=write(tmp_path, COLLECTION))
    assert dataset.data == ["see you later", "WIN £100 now!", "ok"]
    assert dataset.target.tolist() == [0, 1, 0]
    assert isinstance(dataset.target, np.ndarray)
    assert dataset.target.dtype.kind == "i"
    assert dataset.target_names == ["ham", "spam"]
    assert "Almeida" in dataset.DESCR
    assert set(dataset) == {"data", "target", "target_names", "DESCR"}


def test_path_may_be_a_string(tmp_path):
    assert len(fetch_sms_spam(path=str(write(tmp_path, COLLECTION))).data) == 3


def test_return_X_y_gives_data_and_target_alone(tmp_path):
    file = write(tmp_path, COLLECTION)
    dataset = fetch_sms_spam(path=file)
    data, target = fetch_sms_spam(path=file, return_X_y=True)
    assert data == dataset.data
    np.testing.assert_array_equal(target, dataset.target)


def test_path_reads_no_cache_and_writes_none(tmp_path):
    fetch_sms_spam(path=write(tmp_path, COLLECTION), data_home=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\r"])
def test_other_line_separators_stay_inside_a_message(tmp_path, separator):
    content = f"ham\tone{separator}two\nspam\tthree\n".encode()
    dataset = fetch_sms_spam(path=write(tmp_path, content))
    assert dataset.data == [f"one{separator}two", "three"]


def test_carriage_returns_at_line_ends_are_dropped(tmp_path):
    content = COLLECTION.replace(b"\n", b"\r\n")
    assert fetch_sms_spam(path=write(tmp_path, content)).data[-1] == "ok"


def test_last_line_needs_no_line_feed(tmp_path):
    dataset = fetch_sms_spam(path=write(tmp_path, COLLECTION.removesuffix(b"\n")))
    assert dataset.data == ["see you later", "WIN £100 now!", "ok"]


def test_tabs_and_quotes_belong_to_the_message(tmp_path):
    dataset = fetch_sms_spam(path=write(tmp_path, b'ham\ta\tb "c"\nspam\t\n'))
    assert dataset.data == ['a\tb "c"', ""]


@pytest.mark.parametrize("line", ["egg\thello", "ham hello", "", "Ham\thello"])
def test_bad_line_is_refused_with_its_number(tmp_path, line):
    content = f"ham\tone\nspam\ttwo\n{line}\nham\tfour\n".encode()
    with pytest.raises(ValueError, match=r"Line 3 of .*messages is not 'ham' or 'spam'"):
        fetch_sms_spam(path=write(tmp_path, content))


def test_empty_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Line 1"):
        fetch_sms_spam(path=write(tmp_path, b""))


def test_file_that_is_not_utf8_is_refused(tmp_path):
    with pytest.raises(ValueError, match="messages is not in UTF-8.*Save it in that encoding"):
        fetch_sms_spam(path=write(tmp_path, "ham\t£".encode("latin-1")))


def test_byte_order_mark_and_home_folder_are_understood(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    file = write(tmp_path, "\ufeffham\thello\n".encode())
    assert fetch_sms_spam(path=f"~/{file.name}").data == ["hello"]


def test_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        fetch_sms_spam(path=tmp_path / "nowhere")


@pytest.mark.shared_data
def test_real_collection_is_the_one_of_the_checksum(shared_data):
    file = shared_data / "SMSSpamCollection"
    messages, target = fetch_sms_spam(path=file, return_X_y=True)
    assert len(messages) == len(target) == 5574
    assert target.sum() == 747
    assert hashlib.sha256(file.read_bytes()).hexdigest() == SMS_SPAM_SHA256


# -- from the network -----------------------------------------------------------------------------


def test_download_happens_once(site, tmp_path, capfd, recwarn):
    first = fetch_sms_spam(data_home=tmp_path)
    second = fetch_sms_spam(data_home=tmp_path)
    assert first.data == second.data == ["see you later", "WIN £100 now!", "ok"]
    assert second.target.tolist() == [0, 1, 0]
    assert site.requests == ["/archive.zip"]
    assert left_behind(tmp_path) == [tmp_path / "sms_spam" / "SMSSpamCollection"]
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_cache_needs_no_download_permission_and_no_pooch(site, tmp_path, monkeypatch):
    fetch_sms_spam(data_home=tmp_path)
    monkeypatch.setitem(sys.modules, "pooch", None)
    data, target = fetch_sms_spam(data_home=tmp_path, download_if_missing=False, return_X_y=True)
    assert len(data) == len(target) == 3
    assert len(site.requests) == 1


def test_a_damaged_cache_is_fetched_anew(site, tmp_path):
    fetch_sms_spam(data_home=tmp_path)
    cached = tmp_path / "sms_spam" / "SMSSpamCollection"
    cached.write_bytes(COLLECTION[:20])
    with pytest.raises(OSError, match="or not whole"):
        fetch_sms_spam(data_home=tmp_path, download_if_missing=False)
    assert len(fetch_sms_spam(data_home=tmp_path).data) == 3
    assert cached.read_bytes() == COLLECTION
    assert len(site.requests) == 2


def test_default_cache_is_that_of_scikit_learn(site, tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    fetch_sms_spam()
    assert (tmp_path / "sms_spam" / "SMSSpamCollection").read_bytes() == COLLECTION


def test_cache_folder_may_lie_on_another_disk_than_temporary_files(site, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert len(fetch_sms_spam(data_home=tmp_path).data) == 3


def test_wrong_content_is_refused(site, tmp_path):
    site.body = zipped(b"ham\tforged\n")
    check_refused_then_recovers(site, tmp_path, "is not the SMS Spam Collection.*SHA-256")
    assert len(site.requests) == 2


def test_broken_connection_is_refused(site, tmp_path):
    site.promised_length = len(site.body)
    site.body = site.body[: len(site.body) // 2]
    check_refused_then_recovers(site, tmp_path, "could not be downloaded from http://127")


def test_half_an_archive_is_refused(site, tmp_path):
    site.body = site.body[: len(site.body) // 2]
    check_refused_then_recovers(site, tmp_path, "could not be downloaded from http://127")


def test_archive_with_a_damaged_member_is_refused(site, tmp_path):
    content = COLLECTION * 100
    member = zipfile.ZipFile(io.BytesIO(zipped(content))).getinfo("SMSSpamCollection")
    start = member.header_offset + 30 + len(member.filename)
    body = bytearray(zipped(content))
    body[start : start + member.compress_size] = b"\xff" * member.compress_size
    site.body = bytes(body)
    check_refused_then_recovers(site, tmp_path, "could not be downloaded from http://127")


@pytest.mark.parametrize(("field", "value"), [("encrypted", 1), ("compression", 99)])
def test_archive_that_cannot_be_opened_is_refused(field, value, site, tmp_path):
    body = bytearray(zipped(COLLECTION))
    entry = body.rindex(b"PK\x01\x02")  # of the messages, in the directory
    body[entry + {"encrypted": 8, "compression": 10}[field]] = value
    site.body = bytes(body)
    check_refused_then_recovers(site, tmp_path, "could not be downloaded from http://127")


def test_archive_without_the_messages_is_refused(site, tmp_path):
    site.body = zipped(COLLECTION, name="something_else")
    check_refused_then_recovers(site, tmp_path, "no item named 'SMSSpamCollection'")


def test_page_instead_of_an_archive_is_refused(site, tmp_path):
    site.body = b"<html>Down for maintenance</html>"
    check_refused_then_recovers(site, tmp_path, "not a zip file")


@pytest.mark.parametrize("status", [404, 503])
def test_http_error_is_refused(site, tmp_path, status):
    site.status = status
    check_refused_then_recovers(site, tmp_path, f"could not be downloaded.*{status}")


def test_silent_server_is_given_up(site, tmp_path, monkeypatch):
    monkeypatch.setattr(skvae.datasets, "TIMEOUT", 0.2)
    site.release = threading.Event()
    with pytest.raises(OSError, match="could not be downloaded"):
        fetch_sms_spam(data_home=tmp_path)
    assert left_behind(tmp_path) == []


def test_unreachable_server_error_says_what_to_do(site, tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setattr(skvae.datasets, "SMS_SPAM_URL", f"http://127.0.0.1:{port}/archive.zip")
    with pytest.raises(OSError, match="give the path of the messages file to fetch_sms_spam"):
        fetch_sms_spam(data_home=tmp_path)
    assert left_behind(tmp_path) == []


def test_interrupted_download_leaves_nothing(site, tmp_path, monkeypatch):
    import pooch

    def interrupt(self, url, output_file, pooch):
        with open(output_file, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_sms_spam(data_home=tmp_path)
    assert left_behind(tmp_path) == []


def test_download_if_missing_false_asks_no_server(site, tmp_path):
    with pytest.raises(OSError, match="download_if_missing=False"):
        fetch_sms_spam(data_home=tmp_path, download_if_missing=False)
    assert site.requests == []
    assert left_behind(tmp_path) == []


def test_missing_pooch_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'skvae[datasets]'")):
        fetch_sms_spam(data_home=tmp_path)
    assert left_behind(tmp_path) == []


# -- made up --------------------------------------------------------------------------------------


def words(messages):
    return [word for message in messages for word in re.findall(r"[a-z]+", message.lower())]


def test_messages_depend_on_the_seed_alone():
    first, first_target = make_messages(50, random_state=3)
    second, second_target = make_messages(50, random_state=3)
    assert first == second
    np.testing.assert_array_equal(first_target, second_target)
    assert make_messages(50, random_state=4)[0] != first


def test_random_state_instance_is_drawn_from():
    rng = np.random.RandomState(3)
    assert make_messages(20, random_state=rng)[0] == make_messages(20, random_state=3)[0]
    assert make_messages(20, random_state=rng)[0] != make_messages(20, random_state=3)[0]


def test_seeded_messages_leave_the_global_generator_alone():
    before = np.random.get_state()
    make_messages(20, random_state=0)
    after = np.random.get_state()
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_default_is_a_thousand_messages_with_the_spam_of_the_real_collection():
    messages, target = make_messages(random_state=0)
    assert len(messages) == len(target) == 1000
    assert target.sum() == 134


@pytest.mark.parametrize(
    ("n_samples", "spam_fraction", "n_spam"),
    [(10, 0.13, 1), (10, 0.17, 2), (7, 0.5, 4), (1, 0.4, 0), (1, 0.6, 1), (20, 0, 0), (20, 1, 20)],
)
def test_spam_fraction_is_rounded_to_whole_messages(n_samples, spam_fraction, n_spam):
    messages, target = make_messages(n_samples, spam_fraction=spam_fraction, random_state=0)
    assert len(messages) == n_samples
    assert target.shape == (n_samples,)
    assert target.dtype.kind == "i"
    assert target.sum() == n_spam


def test_spam_is_spread_over_the_messages():
    target = make_messages(200, spam_fraction=0.5, random_state=0)[1]
    assert 25 < target[:100].sum() < 75


def test_every_message_is_filled_in_text():
    messages, _ = make_messages(500, spam_fraction=0.5, random_state=0)
    assert all(isinstance(message, str) and message for message in messages)
    assert not any("{" in message or "\n" in message for message in messages)


def test_numpy_integers_are_numbers_of_messages():
    assert len(make_messages(np.int64(5), random_state=0)[0]) == 5


@pytest.mark.parametrize("n_samples", [0, -1, 2.0, "10", None])
def test_bad_number_of_messages_is_refused(n_samples):
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 1, got"):
        make_messages(n_samples)


@pytest.mark.parametrize("spam_fraction", [-0.1, 1.1, float("nan"), "0.1", None])
def test_bad_spam_fraction_is_refused(spam_fraction):
    with pytest.raises(ValueError, match=r"spam_fraction must lie in \[0, 1\], got"):
        make_messages(10, spam_fraction=spam_fraction)


def test_many_words_occur_once():
    counts = Counter(words(make_messages(1000, random_state=0)[0]))
    once = sum(count == 1 for count in counts.values())
    assert once > 0.25 * len(counts)
    assert max(counts.values()) > 100


def test_vocabulary_grows_with_the_number_of_messages():
    few, many = (set(words(make_messages(n, random_state=0)[0])) for n in (200, 2000))
    assert len(many) > 1.5 * len(few)


def test_ham_and_spam_differ_but_share_words():
    messages, target = make_messages(600, spam_fraction=0.5, random_state=0)
    counts = CountVectorizer().fit_transform(messages)
    model = MultinomialNB().fit(counts[:300], target[:300])
    assert model.score(counts[300:], target[300:]) > 0.95
    ham, spam = (set(words(np.array(messages, dtype=object)[target == label])) for label in (0, 1))
    assert len(ham & spam) > 10


def test_cache_folder_is_made_where_it_does_not_exist(site, tmp_path):
    fetch_sms_spam(data_home=tmp_path / "new" / "folder")
    assert os.listdir(tmp_path / "new" / "folder" / "sms_spam") == ["SMSSpamCollection"]
