from moon_vision_challenge.classification.labels import IMAGENET_LABELS


def test_there_are_the_thousand_labels_of_imagenet_in_its_order() -> None:
    assert len(IMAGENET_LABELS) == 1000
    assert (IMAGENET_LABELS[0], IMAGENET_LABELS[146], IMAGENET_LABELS[999]) == ("tench", "albatross", "toilet_tissue")
