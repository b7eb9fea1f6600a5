"""The CIDs that Kubo 0.43 gives to ``trees.FILES`` and ``trees.FOLDERS``, in the order of ``layout.PROFILES``.

``tests/integration/test_kubo_cids.py`` asks a Kubo whether it still does.
"""

from __future__ import annotations

KUBO_CIDS: dict[str, tuple[str, str, str]] = {
    "empty": (
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
    ),
    "one byte": (
        "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu",
        "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu",
        "QmS9JArPwa55ePgDnyg6TzX24mYTS1b1vLqWNebyVotKxQ",
    ),
    "a chunk less one": (
        "bafkreifaaute56b4quupf6b6gljz2vh2jyrnzyxahjxtbqlyuebxoynphu",
        "bafkreifaaute56b4quupf6b6gljz2vh2jyrnzyxahjxtbqlyuebxoynphu",
        "QmTJEMpq4nF6sedMjGgkn7pWRtFGy7LgqH9JP7Gmd211m6",
    ),
    "a chunk": (
        "bafkreicw6ywcqolcwrcrmnij5qcy3bpjwa25oybgurxn7iwjdkerajdm3i",
        "bafkreicw6ywcqolcwrcrmnij5qcy3bpjwa25oybgurxn7iwjdkerajdm3i",
        "QmcG4ezcH21jQzCFBBuirxppckiJhX1tkZgkSwG7P5HCpf",
    ),
    "a chunk and one": (
        "bafkreicje2k4av3ev4yfzmmo34crucshzxzj5ukhs4wpga2zaanisx43ui",
        "bafybeihiz7svbfhe6z5onqaqcw5jdonkc7upvf5v5ysxawu6iuguy532hy",
        "QmW7vJ3Q1zvNrE98UUfuvZxqZrV2dSpKEumZpiMkGGjEh6",
    ),
    "a large chunk": (
        "bafkreicisumak5uvgvhur7g36qxpwpze7vhroca3xmiwqbf7uiqg74rcj4",
        "bafybeigocwvn3zwkwta27r6qvkweqtc5yfwsjlgjjr4vr3jv5gbbq7kaje",
        "Qma96LaV5aNZ7nhBQTUFZqUqW4p1KQHhbcuKEWZinirjcT",
    ),
    "a large chunk and one": (
        "bafybeig2fmgz3vpoyya7ackmoe6iika6xhl7kdhrxtkqms5eh4oposhxze",
        "bafybeicqdizfuoyn632s66cbm7g25lcnib7tmbldap5szbc6svrkk4bb6y",
        "QmZvRGE82nXGVNmWAwPvPrAJ9bWE1Zs7upXLsU5fwrQd1L",
    ),
    "a full node": (
        "bafybeib52kbqtz7kpzgqdgdtkdzp4nrgdmcjqaapy5thyo2xax4x7xoume",
        "bafybeiczj2y4tg7ujfif2pqef557owjvbebvswuaufqdqxkk3ueihixfdm",
        "QmNNSy17t3GqSYGsonwWYvdbfWprkiCz1WHme83kQe86ow",
    ),
    "a full node and one": (
        "bafybeih4mhnvsidsiupwpzxh5vphox2xh6ws5tsaauslmbpxllapgwpxvm",
        "bafybeiglsr3xljk3saryqjdticgfs2ky6wm7h53cop3gm6u5dmso4rv7ga",
        "QmTnogBeFQfPGkU7YVwcdabbXer2SM3H8R8HRvg2fhBkXZ",
    ),
    "two full nodes": (
        "bafybeig3s5kl3sgh6wccphfysq4ow3linp5tiqesti7krlh4jgsfs5a75u",
        "bafybeidkjkqd2h3dbrzo2vudd5uqe2cxy6xjair6amezv44f5lxwimjtvu",
        "Qma2ehAUxFhoqsFVmxPfy53gnrjRTP3ByHWbGa7fAAdFet",
    ),
    "two full nodes and one": (
        "bafybeif277mzgzpaypt4wdvfvrg7af42en6foh5a3b5bl5radmvi6ey3te",
        "bafybeig2d5oynos22dcvfjmr7dcqf43rg2spchfin3osmi6jtagc3l2may",
        "QmUAEWQFMi3h3eoHgmoiDVNexGCMKCt4fmYyauTqXz8Tr3",
    ),
    "no entries": (
        "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
        "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
    ),
    "a wrapped file": (
        "bafybeiaugncjfcketlq23paqyooxbgsoydxvaxr2p2ctlwasslg2uctiuu",
        "bafybeiaugncjfcketlq23paqyooxbgsoydxvaxr2p2ctlwasslg2uctiuu",
        "Qme63YaoR2kJsbm56XDNuXNUvmXfHXjKiF9hDGC5PowHyC",
    ),
    "nested": (
        "bafybeidnye6kcu46ociy7bqbx7a66d6nnnayyjbmqvyqpgha2ff4cwn25q",
        "bafybeiggyomt4zrja6ecrssrijdbnjvu5yzpgqcqocz2j2vb6f4rtfryde",
        "QmW7ZiYnhVDhhFAP2uaWdTqZdfdjZ8618t4Go8j2Q2R9ng",
    ),
    "not yet sharded": (
        "bafybeia2iy3c5xu2d5ibxanvhxnzcrhkgyt7i6mr7ldc73qlp5n7b7jagq",
        "bafybeia2iy3c5xu2d5ibxanvhxnzcrhkgyt7i6mr7ldc73qlp5n7b7jagq",
        "QmPm6njByL8oCcVUNo69Y2AE4FfxvLTgMZUzr4xcM3EpQv",
    ),
    "sharded": (
        "bafybeibtjowktltmtvt2zvdcrcerdm5nefpu2xow5tlfh7swedwpqsr4pe",
        "bafybeibtjowktltmtvt2zvdcrcerdm5nefpu2xow5tlfh7swedwpqsr4pe",
        "QmUHpTebFndZJ7eqTMCDwE4xVD4PtsyjF8rr7UxaeFU4hK",
    ),
    "sharded in sharded": (
        "bafybeicenqmatb7abk2io7rb53n3aawvk4ktvai3b4scwjgfqrjk5mreya",
        "bafybeicenqmatb7abk2io7rb53n3aawvk4ktvai3b4scwjgfqrjk5mreya",
        "QmefTFJZ2Kvhv7yYmjXxzY6BfBsuBWmPg8XYP4PvFPhcVH",
    ),
    "v0 at the limit": (
        "bafybeidudheh2dcxm44zmohwngaj4zzfybmgas25kl3gqtsbnnidvubtum",
        "bafybeidudheh2dcxm44zmohwngaj4zzfybmgas25kl3gqtsbnnidvubtum",
        "QmTs6Ka6bov5sjdkDff7R1i5RKZc6vErCQZpm5xyVgoQ2p",
    ),
    "v0 over the limit": (
        "bafybeibldqq74536i6fvemtvrxddkl6sftfcocy52mqz5sc2ithf4hxnva",
        "bafybeibldqq74536i6fvemtvrxddkl6sftfcocy52mqz5sc2ithf4hxnva",
        "QmaiXFaHvAgZt6nW4BuoMwpbeFnv32SwhYHGVUmTzsV4bN",
    ),
    "v1 at the limit": (
        "bafybeicmjmpw3ajltbodo4pk3jfghc3vbyxm37k5sl2rx3gnhmzbi76nc4",
        "bafybeiheovqbv54rd3pysgicgmypqqhu3lmprtwrscrypl2paqmpf34fq4",
        "QmaRNXRGa4vKa9EeBUPjCnLVCdf3k9bkyDZwFRkmRZuBSA",
    ),
    "v1 over the limit": (
        "bafybeigchi7qgejsauip7cp7ayzpcwpcpmooistbvg4cmx2nn3noo5xjem",
        "bafybeigchi7qgejsauip7cp7ayzpcwpcpmooistbvg4cmx2nn3noo5xjem",
        "QmakXhdfGJQQjJkkChe3SUNJHduTVBGTje3wPSVDdpGeDx",
    ),
    "2025 at the limit": (
        "bafybeiapg5wtcxk5y6qca3hzyxq56haeobfpda5foxmtm5g4ygz43crkuy",
        "bafybeiapg5wtcxk5y6qca3hzyxq56haeobfpda5foxmtm5g4ygz43crkuy",
        "Qma79p74UK5fgtvPLSfSnzt6zgq2ehQu9DeyXxqut5Aijh",
    ),
    "2025 over the limit": (
        "bafybeib4iah4oqqqjdutwpiefvjzcgccd6t4envnjjtm6b6qbxoq244wya",
        "bafybeiahaoh5zthvd4lqohlu3oc7eidibdezzg3e2jnyscgjwdal3kox7y",
        "QmRiH6x4JuYgVUCMXhXdfvtLdRTVh4eBfqD8QSFVDtyAJ4",
    ),
    "2025 over it by a folder's size": (
        "bafybeian4s53nmk4b36hoxtzbz3iwmym2byia23csrtktggpu34nnrwpz4",
        "bafybeif5g2rwt22axc3tnyojv55bjlqvsvsvoxciofx67gr6xykmnrj2oi",
        "QmWrJU2kRJrnAEwGrKvvRg4mmQtyuo8qaSVfiA2xom6NkT",
    ),
}
