"""Jobs over folders and manifests: augmented copies on disk, the same bytes whatever the number of workers."""

from speechaug.folders.folder import augment_folder as augment_folder
from speechaug.folders.items import Failure as Failure
from speechaug.folders.items import Item as Item
from speechaug.folders.items import Made as Made
from speechaug.folders.items import Options as Options
from speechaug.folders.items import Recording as Recording
from speechaug.folders.items import Report as Report
from speechaug.folders.manifests import augment_manifest as augment_manifest
